import { TEXT, withFields } from "../../arguments.ts";
import type { Curves } from "./curves.ts";

/** What a report's pages need beside their text. */
export interface Assets {
  readonly script: string;
  readonly style: string;
}

export const ASSETS = withFields({ script: TEXT, style: TEXT }, "what readAssets gives: { script, style }");

/** HTML that is whole: text in it is escaped. */
export interface Html {
  readonly html: string;
}

/** A part of a page: HTML, and the curves that are drawn into it. */
export type Part = Html | Figure;

export interface Figure {
  readonly caption: string;
  readonly curves: Curves;
  /** Two beside each other, where the page is wide enough. */
  readonly isSmall?: boolean;
}

export interface Section {
  /** Null: what comes first, below the title. */
  readonly title: string | null;
  readonly parts: readonly Part[];
}

/** Text as HTML: names come from files, which may say anything. Control characters are shown as such. */
export function escapeHtml(text: string): string {
  return text
    .replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
    .replace(/(?![\n\t])[\p{Cc}\p{Bidi_Control}]/gu, (character) => {
      return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
    });
}

/** Nothing but what stands in the page: no file, and no request. */
const POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/** A page in one file. */
export function page(title: string, sections: readonly Section[], { script, style }: Assets): string {
  const curves: Curves[] = [];
  const body = sections.map(({ title: heading, parts }) => {
    const inside = parts.map((part) => {
      if ("html" in part) return part.html;
      curves.push(part.curves);
      return figure(part, curves.length - 1);
    });
    return `<section>\n${heading === null ? "" : `<h2>${escapeHtml(heading)}</h2>\n`}${inside.join("\n")}\n</section>`;
  });
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<link rel="icon" href="data:,">
<style>
${style}
</style>
</head>
<body>
<header><h1>${escapeHtml(title)}</h1></header>
<main>
${body.join("\n")}
</main>
<script type="application/json" id="curves">${inScript(curves)}</script>
<script>
${script}
</script>
</body>
</html>
`;
}

function figure({ caption, isSmall = false }: Figure, at: number): string {
  const label = escapeHtml(caption);
  return `<figure${isSmall ? ' class="small"' : ""}><figcaption>${label}</figcaption><div class="plot" role="img" aria-label="${label}" data-curves="${at}"></div></figure>`;
}

/** JSON in which nothing ends the script that it stands in. */
function inScript(value: unknown): string {
  return JSON.stringify(value).replaceAll("<", "\\u003c");
}
