/* The frame of every page: head, style, the few lines of script. */
#include "html.h"

#include <stdarg.h>

void html_text(FILE *to, const char *text) {
    for (; *text; text++)
        switch (*text) {
        case '&':
            fputs("&amp;", to);
            break;
        case '<':
            fputs("&lt;", to);
            break;
        case '>':
            fputs("&gt;", to);
            break;
        case '"':
            fputs("&quot;", to);
            break;
        case '\'':
            fputs("&#39;", to);
            break;
        default:
            fputc(*text, to);
        }
}

void html_format(FILE *to, const char *format, ...) {
    char text[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    html_text(to, text);
}

static const char style[] =
    ":root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--text:#1b1f27;--soft:#5b6472;--line:#dfe3e9;\n"
    "--ours:#1f5fd6;--theirs:#b8570f;--badge:#fff1d6;--badge-text:#6b4300}\n"
    "@media(prefers-color-scheme:dark){:root{--page:#12151b;--card:#1a1f27;--text:#e6e9ef;--soft:#9aa4b3;\n"
    "--line:#303845;--ours:#79a8ff;--theirs:#f0a05a;--badge:#3b2e12;--badge-text:#ffd890}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--page);color:var(--text);font:16px/1.5 system-ui,sans-serif}\n"
    "main{max-width:1120px;margin:0 auto;padding:24px 16px 64px}\n"
    "h1{font-size:1.7rem;line-height:1.2;margin:8px 0}h2{font-size:1.2rem;margin:0 0 12px}\n"
    "h3{font-size:1rem;margin:0 0 4px}p{margin:8px 0}\n"
    ".soft,figcaption,.notes{color:var(--soft);font-size:.9rem}.notes{padding-left:1.2em;margin:12px 0 0}\n"
    ".badge{display:inline-block;background:var(--badge);color:var(--badge-text);border-radius:6px;padding:4px "
    "10px;font-size:.9rem}\n"
    "section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:20px;margin:20px 0}\n"
    ".scroll{overflow-x:auto;margin-bottom:20px}\n"
    "table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\n"
    "th,td{padding:7px 10px;text-align:right;border-bottom:1px solid var(--line)}td{white-space:nowrap}\n"
    "th{font-weight:600;font-size:.85rem;color:var(--soft);vertical-align:bottom}\n"
    "th:first-child,td:first-child{text-align:left;position:sticky;left:0;background:var(--card);font-weight:600}\n"
    "tr:last-child td{border-bottom:0}th.group{text-align:center;color:var(--text)}.edge{border-left:1px solid "
    "var(--line)}\n"
    "th.ours,span.ours{color:var(--ours)}.theirs,th.group.theirs{color:var(--theirs)}\n"
    ".charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:20px}\n"
    "figure{margin:0;min-width:0}figure.alone{max-width:560px}svg{display:block;width:100%;height:auto;touch-action:"
    "pan-y}\n"
    "svg text{fill:var(--soft);font:11.5px system-ui,sans-serif}.grid{stroke:var(--line);fill:none}\n"
    "polyline{fill:none;stroke-width:2;stroke-linejoin:round;vector-effect:non-scaling-stroke}\n"
    ".s-ours{stroke:var(--ours)}.s-theirs{stroke:var(--theirs)}.s-roof{stroke:var(--soft)}\n"
    ".thin{stroke-width:1.5;stroke-dasharray:5 4}.point{fill:var(--ours);fill-opacity:.4;stroke:var(--ours)}\n"
    ".whisker{stroke:var(--ours);stroke-width:2}.dot{fill:var(--ours)}.mark{stroke:var(--theirs);stroke-width:3}\n"
    ".cross{stroke:var(--soft);stroke-dasharray:2 3;visibility:hidden}\n"
    ".key{display:flex;flex-wrap:wrap;gap:4px 18px;margin:0 0 14px;padding:0;list-style:none;font-size:.9rem}\n"
    ".key svg{display:inline-block;width:28px;height:10px;margin-right:6px}\n"
    ".bars{display:grid;grid-template-columns:max-content 1fr max-content;gap:3px "
    "10px;align-items:center;font-size:.9rem}\n"
    ".bars .model{grid-column:1/-1;font-weight:600;margin-top:8px}.bars b{font-weight:600}\n"
    ".bar{background:var(--line);border-radius:4px;height:14px;overflow:hidden}\n"
    ".bar "
    "i{display:block;height:100%;border-radius:4px}.b-ours{background:var(--ours)}.b-theirs{background:var(--theirs)}\n"
    ".facts{display:grid;grid-template-columns:minmax(6em,max-content) 1fr;gap:4px 18px;margin:0}\n"
    ".facts dt{color:var(--soft)}.facts dd{margin:0;overflow-wrap:anywhere}\n"
    "pre{background:var(--page);border:1px solid "
    "var(--line);border-radius:6px;padding:12px;font-size:.85rem;white-space:pre-wrap;overflow-wrap:anywhere}\n"
    "#tip{position:fixed;pointer-events:none;background:var(--text);color:var(--page);padding:6px "
    "10px;border-radius:6px;font-size:.8rem;white-space:pre;display:none;z-index:9;max-width:95vw}\n"
    "@media(max-width:520px){section{padding:14px}h1{font-size:1.4rem}\n"
    "tr.head{display:none}tr{display:block;padding:6px 0}td,td:first-child{display:flex;justify-content:space-between;"
    "border:0;padding:3px 0}td:first-child{font-size:1.05rem;position:static}td::before{content:attr(data-label);"
    "color:var(--soft);padding-right:12px}td:first-child::before{content:none}.edge{border:0}tr+tr{border-top:1px "
    "solid var(--line)}\n"
    ".bars{grid-template-columns:1fr max-content}.bars .soft{grid-column:1/-1;margin-top:2px;font-size:.82rem}}\n";

/* Under the pointer (or the finger): of lines the values at the nearest x, of everything else its data-tip. */
static const char script[] =
    "(function(){\n"
    "var tip=document.getElementById('tip');\n"
    "function show(e,text){tip.textContent=text;tip.style.display='block';\n"
    "  var w=tip.offsetWidth,h=tip.offsetHeight;\n"
    "  tip.style.left=Math.max(4,Math.min(e.clientX+14,innerWidth-w-4))+'px';\n"
    "  tip.style.top=(e.clientY-h-14>4?e.clientY-h-14:e.clientY+18)+'px';}\n"
    "function hide(){tip.style.display='none';\n"
    "  document.querySelectorAll('.cross').forEach(function(c){c.style.visibility='hidden';});}\n"
    "function lines(svg,e){\n"
    "  var d=svg.dataset,box=svg.getBoundingClientRect(),px=(e.clientX-box.left)/box.width*d.width;\n"
    "  var x=+d.x0+(px-d.left)/(d.right-d.left)*(d.x1-d.x0),at=null,text='';\n"
    "  var all=[].slice.call(svg.querySelectorAll('polyline[data-x]')).map(function(l){\n"
    "    return{name:l.dataset.name,x:l.dataset.x.split(' ').map(Number),y:l.dataset.y.split(' ').map(Number)};});\n"
    "  all.forEach(function(l){l.x.forEach(function(v){if(at===null||Math.abs(v-x)<Math.abs(at-x))at=v;});});\n"
    "  if(at===null)return;\n"
    "  all.forEach(function(l){var i=l.x.indexOf(at);\n"
    "    if(i>=0)text+='\\n'+l.name+': '+(d.percent?(100*l.y[i]).toFixed(2)+'%':l.y[i]);});\n"
    "  var c=svg.querySelector('.cross'),cx=+d.left+(at-d.x0)/(d.x1-d.x0)*(d.right-d.left);\n"
    "  c.setAttribute('x1',cx);c.setAttribute('x2',cx);c.style.visibility='visible';\n"
    "  show(e,d.xname+' '+at+text);}\n"
    "function move(e){var t=e.target.closest?e.target.closest('[data-tip]'):null;\n"
    "  var svg=e.target.closest?e.target.closest('svg[data-x0]'):null;\n"
    "  if(t){show(e,t.dataset.tip);return;}\n"
    "  hide();if(svg)lines(svg,e);}\n"
    "document.addEventListener('pointermove',move);document.addEventListener('pointerdown',move);\n"
    "document.addEventListener('scroll',hide,true);\n"
    "})();\n";

void html_begin(FILE *to, const char *title) {
    fprintf(to, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\" />\n"
                "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\" />\n<title>");
    html_text(to, title);
    fprintf(to, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n", style);
}

void html_end(FILE *to) {
    fprintf(to,
            "</main>\n<div id=\"tip\" "
            "role=\"status\"></div>\n<script>\n//<![CDATA[\n%s//]]>\n</script>\n</body>\n</html>\n",
            script);
}
