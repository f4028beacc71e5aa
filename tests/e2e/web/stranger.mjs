// Another anonymous user, who listens to the same channels and tries to see somebody else's video.
//
// node stranger.mjs '{"endpoint", "project"}'; then one line on standard input: {"videoId", "fileId", "urls"}.
// Prints one JSON line per attempt, and every event it hears.

import { keptSession, say } from "./browser.mjs";
import { Person, TABLES } from "./client.mjs";
import { Storage, TablesDB } from "appwrite";
import { once } from "node:events";
import { createInterface } from "node:readline";

const { endpoint, project } = JSON.parse(process.argv[2]);
const person = new Person({ endpoint, project });

await person.signIn();
await person.listen(({ payload }) => say("event", { table: payload.$tableId, id: payload.$id }));

const [line] = await once(createInterface({ input: process.stdin }), "line");
const { videoId, fileId, urls } = JSON.parse(line);
const rows = new TablesDB(person.client);
const files = new Storage(person.client);

/** Try something and print what came of it: a status and what was seen. */
async function attempt(name, action) {
  try {
    say("attempt", { name, ...(await action()) });
  } catch (error) {
    say("attempt", { name, status: error.code, seen: "" });
  }
}

for (const tableId of TABLES) {
  await attempt(`list ${tableId}`, async () => {
    const list = await rows.listRows({ databaseId: "video_metadata", tableId });
    return { status: 200, seen: list.rows.map((row) => row.$id).join() };
  });
}
await attempt("get row", async () => {
  const row = await rows.getRow({ databaseId: "video_metadata", tableId: "videos", rowId: videoId });
  return { status: 200, seen: row.$id };
});
await attempt("get file", async () => {
  const file = await files.getFile({ bucketId: "final_videos", fileId });
  return { status: 200, seen: file.$id };
});
await attempt("list files", async () => {
  const list = await files.listFiles({ bucketId: "final_videos" });
  return { status: 200, seen: list.files.map((file) => file.$id).join() };
});
for (const url of urls) {
  await attempt(`open ${new URL(url).pathname}`, async () => {
    const answer = await fetch(url, { headers: { "x-appwrite-session": keptSession(project) } });
    return { status: answer.status, seen: answer.ok ? "content" : "" };
  });
}
await attempt("show", async () => {
  const { status, body } = await person.call("GET", `/videos/${videoId}`);
  return { status, seen: body.videoId ?? "", error: body.error };
});
await attempt("list", async () => {
  const { status, body } = await person.call("GET", "/videos");
  return { status, seen: body.videos.map((video) => video.videoId).join(), total: body.total };
});
await person.realtime.disconnect();
process.exit(0);
