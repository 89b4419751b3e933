import { existsSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { type Browser, chromium, type Page } from "playwright-core";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** The version of onnxruntime-web that a page uses, under another name beside the training build. */
const RUNTIME = join(ROOT, "node_modules/onnxruntime-web-current/dist");

const BROWSERS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const EXECUTABLE = BROWSERS.find((path) => existsSync(path));

/** Why there is no browser here; null where there is one. */
export const whyNoBrowser = EXECUTABLE === undefined ? `none of ${BROWSERS.join(", ")} is here` : null;

/** WebGPU by the software driver that comes with it; no sandbox, which root has none of. */
const FLAGS = [
  "--no-sandbox",
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--enable-features=Vulkan",
];

export async function startBrowser(): Promise<Browser> {
  return chromium.launch({ ...(EXECUTABLE === undefined ? {} : { executablePath: EXECUTABLE }), args: FLAGS });
}

/** Bundles a page's script as an application would, with what the package ships. @returns its files by name */
export async function bundlePage(entry: string): Promise<ReadonlyMap<string, Uint8Array>> {
  const { outputFiles } = await build({
    entryPoints: { page: entry, worker: join(ROOT, "dist/web/onnx-agr-web-worker.js") },
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "browser",
    write: false,
    outdir: "/",
    logLevel: "error",
    alias: {
      "onnxruntime-web/wasm": join(RUNTIME, "ort.wasm.min.mjs"),
      "onnxruntime-web/webgpu": join(RUNTIME, "ort.webgpu.min.mjs"),
    },
  });
  return new Map(outputFiles.map(({ path, contents }) => [path, contents]));
}

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};

export interface Site {
  readonly address: string;
  close(): void;
}

export interface SiteOptions {
  /** Files in memory by their path, which begins with a slash. */
  readonly files: ReadonlyMap<string, Uint8Array | string>;
  /** Folders of the disk by the path they are shown under. */
  readonly folders?: Readonly<Record<string, string>>;
  /** Whether pages may share memory between threads. Default false. */
  readonly isIsolated?: boolean;
}

/** Serves files, and what onnxruntime-web loads under `/ort/`. */
export async function serve({ files, folders = {}, isIsolated = false }: SiteOptions): Promise<Site> {
  const all: Readonly<Record<string, string>> = { ...folders, "/ort/": RUNTIME };
  const find = (path: string): Uint8Array | string | null => {
    const held = files.get(path);
    if (held !== undefined) return held;
    const [mount, folder] = Object.entries(all).find(([prefix]) => path.startsWith(prefix)) ?? [];
    if (mount === undefined || folder === undefined) return null;
    const file = normalize(join(folder, path.slice(mount.length)));
    return file.startsWith(folder) && existsSync(file) ? readFileSync(file) : null;
  };
  const server: Server = createServer((request, response) => {
    const asked = new URL(request.url ?? "/", "http://localhost").pathname;
    const path = asked.endsWith("/") ? `${asked}index.html` : asked;
    const content = find(path);
    const isolation = isIsolated
      ? { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" }
      : {};
    response.writeHead(content === null ? 404 : 200, {
      "Content-Type": TYPES[extname(path)] ?? "application/octet-stream",
      ...isolation,
    });
    response.end(content ?? "");
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  return { address: `http://localhost:${port}/`, close: () => server.close() };
}

/** What a page did that it should not have done. */
export interface Watched {
  readonly page: Page;
  /** Errors on its console and errors that nobody caught. */
  readonly errors: readonly string[];
  /** Requests to other origins. */
  readonly foreign: readonly string[];
}

export async function openPage(
  browser: Browser,
  address: string,
  size = { width: 1280, height: 800 },
): Promise<Watched> {
  const page = await browser.newPage({ viewport: size });
  const errors: string[] = [];
  const foreign: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error") errors.push(message.text());
  });
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("request", (request) => {
    if (!request.url().startsWith(address) && !/^(data|blob):/.test(request.url())) foreign.push(request.url());
  });
  await page.goto(address);
  return { page, errors, foreign };
}

/** Shown by `serve` where nothing else is: a page of one script. */
export const PLAIN_PAGE = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>test</title>
<link rel="icon" href="data:,"><script type="module" src="/page.js"></script></head><body></body></html>`;

export const pathOf = (file: string, from: string): string => join(dirname(fileURLToPath(from)), file);
