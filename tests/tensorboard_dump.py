#!/usr/bin/env python3
"""Prints what TensorBoard's own reader finds in a run's folder, a line a thing, for test_slow_tensorboard.c.

scalar TAG STEP BITS                 the bits of the float, in hexadecimal
image TAG STEP WIDTH HEIGHT CRC      the CRC-32 of the decoded RGB pixels
node NAME OP SHAPE INPUT,...         of the graph, in its order; the shape as 8x16x32x32
hparam KEY KIND VALUE                of the session, sorted; numbers as hexadecimal floats
metric TAG
status NUMBER
"""

import io
import struct
import sys
import zlib

import PIL.Image
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.plugins.hparams import metadata


def main():
    events = event_accumulator.EventAccumulator(
        sys.argv[1], size_guidance={kind: 0 for kind in event_accumulator.DEFAULT_SIZE_GUIDANCE}
    )
    events.Reload()
    tags = events.Tags()
    for tag in sorted(tags["scalars"]):
        for point in events.Scalars(tag):
            print("scalar", tag, point.step, struct.pack(">f", point.value).hex())
    for tag in sorted(tags["images"]):
        for image in events.Images(tag):
            pixels = PIL.Image.open(io.BytesIO(image.encoded_image_string)).convert("RGB")
            assert pixels.size == (image.width, image.height)
            print("image", tag, image.step, image.width, image.height, f"{zlib.crc32(pixels.tobytes()):08x}")
    if tags["graph"]:
        for node in events.Graph().node:
            shape = node.attr["_output_shapes"].list.shape[0]
            print("node", node.name, node.op, "x".join(str(d.size) for d in shape.dim), ",".join(node.input))
    hparams(events.PluginTagToContent("hparams"))


def hparams(content):
    if metadata.EXPERIMENT_TAG in content:
        for info in metadata.parse_experiment_plugin_data(content[metadata.EXPERIMENT_TAG]).metric_infos:
            print("metric", info.name.tag)
    if metadata.SESSION_START_INFO_TAG in content:
        start = metadata.parse_session_start_info_plugin_data(content[metadata.SESSION_START_INFO_TAG])
        for key in sorted(start.hparams):
            kind = start.hparams[key].WhichOneof("kind")
            value = getattr(start.hparams[key], kind)
            print("hparam", key, kind, value.hex() if kind == "number_value" else value)
    if metadata.SESSION_END_INFO_TAG in content:
        print("status", metadata.parse_session_end_info_plugin_data(content[metadata.SESSION_END_INFO_TAG]).status)


main()
