// The web SDK in a page of another origin: signing in, rows, a file in chunks, realtime; and a stranger's page.
//
// node page_client.mjs '{"endpoint", "project", "database", "table", "bucket"}'; prints one JSON line per thing seen.

import { openBrowser, useSdk } from "./chromium.mjs";

const at = JSON.parse(process.argv[2]);
const say = (kind, fields) => process.stdout.write(JSON.stringify({ kind, ...fields }) + "\n");
const browser = await openBrowser();

const page = await browser.newPage();
await useSdk(page, at);
say("anonymous", await page.evaluate(async () => {
  const session = await me.account.createAnonymousSession();
  return { userId: session.userId, seen: (await me.account.get()).$id, cookie: document.cookie };
}));
await page.reload();
await useSdk(page, at);
say("reloaded", await page.evaluate(async () => ({ seen: (await me.account.get()).$id })));
say("email", await page.evaluate(async () => {
  const { ID } = window.Appwrite;
  await me.account.deleteSession({ sessionId: "current" });
  const gone = await me.account.get().catch((error) => ({ code: error.code, type: error.type }));
  const who = { email: `${ID.unique()}@example.test`, password: "correct horse battery" };
  const made = await me.account.create({ userId: ID.unique(), name: "Zoë", ...who });
  const wrong = await me.account
    .createEmailPasswordSession({ ...who, password: "another battery" })
    .catch((error) => ({ code: error.code, type: error.type }));
  const session = await me.account.createEmailPasswordSession(who);
  await me.account.updatePrefs({ prefs: { theme: "dark" } });
  const { $id, name, email, prefs } = await me.account.get();
  return { gone, wrong, made: made.$id, session: session.userId, seen: { $id, name, email, prefs }, wanted: who.email };
}));

const neighbour = await browser.newPage(); // on another port of the server's own host: its cookie is no foreign one
await useSdk(neighbour, { ...at, endpoint: at.endpoint.replace("127.0.0.1", "localhost") });
say("cookie", await neighbour.evaluate(async () => {
  const { userId } = await me.account.createAnonymousSession();
  localStorage.removeItem("cookieFallback");
  const seen = (await me.account.get()).$id;
  await me.account.deleteSession({ sessionId: "current" });
  localStorage.removeItem("cookieFallback");
  return { userId, seen, after: await me.account.get().catch((error) => error.code) };
}));

const stranger = await browser.newPage();
await useSdk(stranger, at);
await stranger.evaluate(() => me.account.createAnonymousSession());

/** Listen in a page; `heard()` is what came. */
async function listen(person, channel) {
  await person.evaluate(async (channel) => {
    window.heard = [];
    let acknowledged;
    const ready = new Promise((resolve) => (acknowledged = resolve));
    const Socket = window.WebSocket;
    window.WebSocket = class extends Socket {
      constructor(url) {
        super(url);
        this.addEventListener("message", ({ data }) => {
          if (JSON.parse(data).data?.to === "subscribe") acknowledged();
        });
      }
    };
    await me.realtime.subscribe(channel, ({ events, subscriptions, payload }) =>
      window.heard.push({ name: events[0], subscriptions, payload }));
    await ready;
  }, channel);
}

const channel = `databases.${at.database}.tables.${at.table}.rows`;
await listen(page, channel);
await listen(stranger, channel);
const rows = await page.evaluate(async ({ database: databaseId, table: tableId }) => {
  const { ID, Query } = window.Appwrite;
  const made = await me.rows.createRow({ databaseId, tableId, rowId: ID.unique(), data: { text: "one" } });
  const where = { databaseId, tableId, rowId: made.$id };
  const changed = await me.rows.updateRow({ ...where, data: { text: "two" } });
  const found = await me.rows.listRows({ databaseId, tableId, queries: [Query.equal("text", "two")] });
  await me.rows.deleteRow(where);
  const gone = await me.rows.getRow(where).catch((error) => ({ code: error.code, type: error.type }));
  const kept = await me.rows.createRow({ databaseId, tableId, rowId: ID.unique(), data: { text: "kept" } });
  return { id: made.$id, changed: changed.text, found: found.rows.map((row) => row.$id), gone, kept: kept.$id };
}, at);
say("rows", rows);
await page.waitForFunction(() => window.heard.length >= 4);
say("heard", { events: await page.evaluate(() => window.heard) });

const file = await page.evaluate(async ({ bucket: bucketId, size }) => {
  const bytes = new Uint8Array(size).map((_, index) => (index * 31 + (index >> 8)) % 251);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const steps = [];
  const kept = await me.files.createFile({
    bucketId,
    fileId: window.Appwrite.ID.unique(),
    file: new File([bytes], "song.mp3", { type: "audio/mpeg" }),
    onProgress: ({ chunksUploaded, chunksTotal }) => steps.push(`${chunksUploaded}/${chunksTotal}`),
  });
  const sha256 = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return { id: kept.$id, size: kept.sizeOriginal, chunks: kept.chunksTotal, steps, sha256 };
}, { ...at, size: 11 * 1024 * 1024 + 5 });
say("file", file);

say("stranger", await stranger.evaluate(async ({ at, rowId, fileId }) => {
  const { database: databaseId, table: tableId, bucket: bucketId } = at;
  const refused = (call) => call.then(() => "let in", (error) => `${error.code} ${error.type}`);
  return {
    row: await refused(me.rows.getRow({ databaseId, tableId, rowId })),
    change: await refused(me.rows.updateRow({ databaseId, tableId, rowId, data: { text: "mine" } })),
    file: await refused(me.files.getFile({ bucketId, fileId })),
    listed: (await me.rows.listRows({ databaseId, tableId })).total + (await me.files.listFiles({ bucketId })).total,
    heard: window.heard,
  };
}, { at, rowId: rows.kept, fileId: file.id }));
await browser.close();
process.exit(0);
