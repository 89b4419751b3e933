import { encodePng, type Pixels } from "../png.ts";
import type { Points } from "./curves.ts";
import { escapeHtml, type Html } from "./page.ts";

/** A cell: text, which is escaped, or HTML. */
export type Cell = string | Html;

const cellOf = (cell: Cell): string => (typeof cell === "string" ? escapeHtml(cell) : cell.html);

export const paragraph = (text: string, name = ""): Html => ({
  html: `<p${name === "" ? "" : ` class="${name}"`}>${escapeHtml(text)}</p>`,
});

/** A table that is moved sideways where it is wider than the page. */
export function table(heading: readonly string[], rows: readonly (readonly Cell[])[]): Html {
  const head = heading.map((cell) => `<th scope="col">${escapeHtml(cell)}</th>`).join("");
  const body = rows.map((row) => `<tr>${row.map((cell) => `<td>${cellOf(cell)}</td>`).join("")}</tr>`);
  return {
    html: `<div class="wide"><table class="data"><thead><tr>${head}</tr></thead><tbody>\n${body.join("\n")}\n</tbody></table></div>`,
  };
}

/** The few numbers that are looked for first. */
export function numbers(entries: readonly (readonly [name: string, value: string])[]): Html {
  const items = entries.map(([name, value]) => `<div><dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value)}</dd></div>`);
  return { html: `<dl class="numbers">${items.join("")}</dl>` };
}

/** Names and what they are. */
export function facts(entries: readonly (readonly [name: string, value: string])[]): Html {
  const items = entries.map(([name, value]) => `<dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value)}</dd>`);
  return { html: `<dl class="facts">${items.join("\n")}</dl>` };
}

/** A curve as large as a word. */
export function sparkline(points: Points): Html {
  const shown = points.filter(([, y]) => Number.isFinite(y));
  const [xs, ys] = [shown.map(([x]) => x), shown.map(([, y]) => y)];
  const scale = (values: readonly number[], to: number): ((value: number) => number) => {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return (value) => Number((high > low ? ((value - low) / (high - low)) * to : to / 2).toFixed(1));
  };
  const [across, up] = [scale(xs, 100), scale(ys, 18)];
  const path = shown.map(([x, y]) => `${across(x)},${(19 - up(y)).toFixed(1)}`).join(" ");
  return {
    html: `<svg class="spark" viewBox="0 0 100 20" preserveAspectRatio="none" aria-hidden="true"><polyline points="${path}"/></svg>`,
  };
}

/** More classes than these are no matrix that anybody reads. */
const MOST_CLASSES = 30;
const MOST_CONFUSIONS = 30;

/** Counts by label (rows) and prediction (columns); of many classes those that are mistaken most. */
export function confusionMatrix(counts: readonly (readonly number[])[], names: readonly string[]): Html {
  const nameOf = (of: number): string => names[of] ?? String(of);
  if (counts.length > MOST_CLASSES) return mostConfused(counts, nameOf);
  const head = counts.map((_, of) => `<th scope="col">${escapeHtml(nameOf(of))}</th>`).join("");
  const rows = counts.map((row, label) => {
    const total = row.reduce((sum, count) => sum + count, 0);
    const cells = row.map((count, predicted) => {
      const share = total === 0 ? 0 : count / total;
      const title = `${nameOf(label)}, taken for ${nameOf(predicted)}: ${count} of ${total}`;
      return `<td style="--share:${share.toFixed(3)}" title="${escapeHtml(title)}">${count}</td>`;
    });
    return `<tr><th scope="row">${escapeHtml(nameOf(label))}</th>${cells.join("")}</tr>`;
  });
  return {
    html: `<div class="wide"><table class="matrix"><thead><tr><th></th>${head}</tr></thead><tbody>\n${rows.join("\n")}\n</tbody></table></div>`,
  };
}

function mostConfused(counts: readonly (readonly number[])[], nameOf: (of: number) => string): Html {
  const wrong = counts.flatMap((row, label) => {
    const total = row.reduce((sum, count) => sum + count, 0);
    return row.flatMap((count, predicted) =>
      count === 0 || predicted === label ? [] : [{ label, predicted, count, total }],
    );
  });
  const rows = wrong
    .sort((a, b) => b.count - a.count)
    .slice(0, MOST_CONFUSIONS)
    .map(({ label, predicted, count, total }) => [nameOf(label), nameOf(predicted), `${count} of ${total}`]);
  return table(["label", "taken for", "samples"], rows);
}

/** Pictures with what is said of each. */
export function pictures(
  items: readonly { readonly pixels: Pixels | null; readonly lines: readonly string[] }[],
): Html {
  const all = items.map(({ pixels, lines }) => {
    const text = lines.map((line) => escapeHtml(line)).join("<br>");
    const source = pixels === null ? "" : Buffer.from(encodePng(pixels)).toString("base64");
    const image =
      pixels === null
        ? ""
        : `<img alt="${escapeHtml(lines[0] ?? "")}" width="${pixels.width}" height="${pixels.height}" src="data:image/png;base64,${source}">`;
    return `<li>${image}${text}</li>`;
  });
  return { html: `<ul class="pictures">${all.join("\n")}</ul>` };
}
