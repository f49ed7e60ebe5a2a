/* The table as HTML. On a phone each row is a list, with the columns' names (data-label) before the values. */
#include "html.h"
#include "table.h"

enum { PUBLISHED_COLUMNS = 3 };

/* The table's columns behind the model's name: first those of the published numbers, if it has them. */
static const char *style_of(bool speeds, int column) {
    if (speeds || column == 0)
        return "";
    if (column == 1)
        return " class=\"edge theirs\"";
    return column <= PUBLISHED_COLUMNS ? " class=\"theirs\"" : column == 1 + PUBLISHED_COLUMNS ? " class=\"edge\"" : "";
}

static bool is_published(bool speeds, int column) {
    return !speeds && column >= 1 && column <= PUBLISHED_COLUMNS;
}

static void print_one(const table *t, bool speeds, FILE *to) {
    int count;
    char cell[TABLE_CELL];
    const table_heading *headings = table_headings(speeds, &count);
    fprintf(to, "<div class=\"scroll\"><table>\n");
    if (!speeds)
        fprintf(to,
                "<tr class=\"head\"><th></th><th class=\"group edge theirs\" colspan=\"%d\">published</th>"
                "<th class=\"group edge ours\" colspan=\"%d\">ours</th></tr>\n",
                PUBLISHED_COLUMNS, count - 1 - PUBLISHED_COLUMNS);
    fprintf(to, "<tr class=\"head\">");
    for (int c = 0; c < count; c++) {
        fprintf(to, "<th%s>", c == 1 || c == 1 + PUBLISHED_COLUMNS ? (speeds ? "" : " class=\"edge\"") : "");
        html_text(to, headings[c].name);
        fprintf(to, "</th>");
    }
    for (int r = 0; r < t->row_count; r++) {
        fprintf(to, "</tr>\n<tr>");
        for (int c = 0; c < count; c++) {
            table_cell(&t->rows[r], headings[c].column, cell);
            fprintf(to, "<td%s data-label=\"%s", style_of(speeds, c), is_published(speeds, c) ? "published: " : "");
            html_text(to, headings[c].name);
            fprintf(to, "\">");
            html_text(to, *cell ? cell : "–");
            fprintf(to, "</td>");
        }
    }
    fprintf(to, "</tr>\n</table></div>\n");
}

void table_print_html(const table *t, FILE *to) {
    char note[TABLE_NOTE];
    print_one(t, false, to);
    if (table_has_speeds(t))
        print_one(t, true, to);
    fprintf(to, "<ul class=\"notes\">\n");
    for (int i = 0; table_note(t, i, note); i++) {
        fprintf(to, "<li>");
        html_text(to, note);
        fprintf(to, "</li>\n");
    }
    fprintf(to, "</ul>\n");
}

void table_print_page(const table *t, FILE *to) {
    html_begin(to, "clnet: the published comparison, reproduced");
    fprintf(to, "<h1>The published comparison, reproduced</h1>\n<section>\n");
    table_print_html(t, to);
    fprintf(to, "</section>\n");
    html_end(to);
}
