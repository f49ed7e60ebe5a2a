/* cltrain fit: what is kept, and what is gone on from. */
#include "fit.h"

static const char *const monitors[] = {"val_acc", "val_loss", "train_acc", "train_loss", NULL};
static const char *const modes[] = {"max", "min", NULL};

const cli_option fit_checkpoint_options[] = {
    {"out", CLI_TEXT, FIT_AT(out), "DIR",
     "where to write (default runs/<model>/version_N, with the next N that is free); a new run needs a folder without "
     "the files of another",
     0, 0, NULL},
    {"resume", CLI_ONCE, FIT_AT(resume), "last|PATH",
     "go on with a run in its folder, PATH, or its resume.safetensors there; last: with that in --out, or "
     "without --out the model's latest in runs/, and from the beginning if there is none. The other options "
     "must be those of the run; more --epochs are fine with the same "
     "--milestones",
     0, 0, NULL},
    {"pretrained", CLI_TEXT, FIT_AT(pretrained), "FILE",
     "do not train: validate and test these weights, safetensors or a PyTorch checkpoint (.ckpt, .pt, .pth). The "
     "model is the file's; for a bare state_dict, give --model",
     0, 0, NULL},
    {"monitor", CLI_CHOICE, FIT_AT(monitor), "METRIC",
     "what tells the best epoch: val_acc (default), val_loss, train_acc or train_loss", 0, 0, monitors},
    {"mode", CLI_CHOICE, FIT_AT(mode), "max|min", "which is better; default: max for accuracies, min for losses", 0, 0,
     modes},
    {"save-top-k", CLI_INT, FIT_AT(top_k), "K",
     "weights of how many best epochs to keep (default 1): the best as best.safetensors, with K above 1 each also as "
     "epoch=NN.safetensors; 0: none, and the last are tested",
     0, CLN_MAX_TOP_K, NULL},
    {"save-last", CLI_FLAG, FIT_AT(last), NULL, "write last.safetensors, as is the default (else: --no-save-last)", 0,
     0, NULL},
    {"save-every", CLI_REAL, FIT_AT(save_every), "SECONDS",
     "save the state for --resume this often within an epoch (default 30), besides after each", 0, 1e9, NULL},
    {.name = NULL}};

int fit_check_checkpoints(const cli_command *command, const fit_arguments *a) {
    if (a->pretrained && a->resume)
        return cli_misuse(command, "--pretrained and --resume exclude each other");
    if (a->pretrained && a->init_weights)
        return cli_misuse(command, "--pretrained, which does not train, and --init-weights exclude each other");
    return CLN_OK;
}
