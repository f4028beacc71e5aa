// Makes a video as a web page would, and prints everything it sees as one JSON line each.
//
// node make_video.mjs '{"endpoint", "project", "request", "out", "cutAt"?}'
// request: the body of POST /videos. out: where the film goes. cutAt: per cent at which the connection is cut once.

import { cutTheLine, say, subscribed } from "./browser.mjs";
import { Person } from "./client.mjs";
import { TablesDB } from "appwrite";
import { writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

const { endpoint, project, request, out, cutAt } = JSON.parse(process.argv[2]);
const person = new Person({ endpoint, project });
const TERMINAL = ["completed", "failed", "cancelled"];
const begun = performance.now();
const now = () => Math.round(performance.now() - begun);

let videoId = "";
let cut = false;
let finished;
const ended = new Promise((resolve) => (finished = resolve));

/** Print what a row says; the end of the video ends the wait. */
function show(kind, row) {
  const { $id, $tableId, $updatedAt, status, progress, current_scene, stage, revision, scene_number, tries, combined_video_url } = row;
  say(kind, {
    at: now(), table: $tableId, id: $id, updatedAt: $updatedAt,
    status, progress, current_scene, stage, revision, scene_number, tries, combined_video_url,
  });
  if ($tableId === "videos" && TERMINAL.includes(status)) finished();
}

const read = () => new TablesDB(person.client).getRow({ databaseId: "video_metadata", tableId: "videos", rowId: videoId });

/** Events are lost while the line is cut: subscribed again, the row is read once. */
async function readAfterReconnecting() {
  await subscribed();
  show("read", await read());
}

/** Resolves when the video has been written again. */
async function written(revision) {
  while ((await read()).revision <= revision) await sleep(50);
}

await person.signIn();
await person.listen(({ payload }) => {
  show("event", payload);
  if (cutAt !== undefined && !cut && payload.$tableId === "videos" && payload.progress >= cutAt) {
    cut = true;
    say("cut", { at: now(), revision: payload.revision });
    person.realtime.onOpen(readAfterReconnecting);
    cutTheLine(() => written(payload.revision));
  }
});

const created = await person.call("POST", "/videos", request, { "content-type": "application/json" });
say("created", { at: now(), ...created });
if (created.status !== 202) process.exit(1);
videoId = created.body.videoId;
await ended;

const shown = await person.call("GET", `/videos/${videoId}`);
say("shown", shown);
if (shown.body.play_url) {
  const answer = await fetch(shown.body.play_url); // no cookie, no header: what a <video> element sends
  await writeFile(out, Buffer.from(await answer.arrayBuffer()));
  say("downloaded", { status: answer.status, type: answer.headers.get("content-type") });
}
await person.realtime.disconnect();
process.exit(0);
