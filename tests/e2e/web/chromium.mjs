// A headless Chromium of the system and a web page in it, served from an origin of its own.

import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { delimiter, join } from "node:path";
import { chromium } from "playwright-core";

const SDK = readFileSync(new URL("node_modules/appwrite/dist/iife/sdk.js", import.meta.url));
const PAGE = '<!doctype html><meta charset="utf-8"><title>page</title><script src="/sdk.js"></script>';
const ARGUMENTS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

function installed() {
  const folders = (process.env.PATH ?? "").split(delimiter);
  const places = ["chromium", "google-chrome"].flatMap((name) => folders.map((folder) => join(folder, name)));
  return places.find((place) => existsSync(place));
}

/** Serve the page on localhost: to a server on 127.0.0.1 that is another host, and its port is another one too. */
async function serve() {
  const server = createServer((request, response) => {
    const isScript = request.url === "/sdk.js";
    response.writeHead(200, { "content-type": isScript ? "text/javascript" : "text/html; charset=utf-8" });
    response.end(isScript ? SDK : PAGE);
  });
  await new Promise((resolve) => server.listen(0, "localhost", resolve));
  return `http://localhost:${server.address().port}/`;
}

/** Start the browser with a fresh profile; `newPage` opens the page as one more person: no cookies, nothing stored. */
export async function openBrowser() {
  const origin = await serve();
  const browser = await chromium.launch({ executablePath: installed(), headless: true, args: ARGUMENTS });
  return {
    origin,
    close: () => browser.close(),
    newPage: async () => {
      const context = await browser.newContext();
      const page = await context.newPage();
      await page.goto(origin);
      return page;
    },
  };
}

/** Make `window.me`, the services of the web SDK for a project, in the page as it is now loaded. */
export async function useSdk(page, { endpoint, project }) {
  await page.evaluate(([endpoint, project]) => {
    const { Account, Client, Functions, Realtime, Storage, TablesDB } = window.Appwrite;
    const client = new Client().setEndpoint(endpoint).setProject(project);
    window.me = {
      client,
      account: new Account(client),
      rows: new TablesDB(client),
      files: new Storage(client),
      functions: new Functions(client),
      realtime: new Realtime(client),
    };
  }, [endpoint, project]);
}
