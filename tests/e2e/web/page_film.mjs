// A page makes a video; another browser, without cookies or session, plays the film by its play_url; others may not.
//
// node page_film.mjs '{"endpoint", "project", "key", "request"}'; prints one JSON line per thing seen.

import { Client, Tokens } from "node-appwrite";
import { openBrowser, useSdk } from "./chromium.mjs";

const at = JSON.parse(process.argv[2]);
const say = (kind, fields) => process.stdout.write(JSON.stringify({ kind, ...fields }) + "\n");
const browser = await openBrowser();
const owner = await browser.newPage();
await useSdk(owner, at);

/** Create a video and wait for its last event. */
async function makeVideo(body) {
  await me.account.createAnonymousSession();
  const call = async (method, xpath, body = "") => {
    const answer = await me.functions.createExecution({ functionId: "video_generation", method, xpath, body });
    return JSON.parse(answer.responseBody);
  };
  const seen = new Map();
  let finished = () => {};
  await me.realtime.subscribe("databases.video_metadata.tables.videos.rows", ({ payload }) => {
    seen.set(payload.$id, payload.status);
    finished();
  });
  const { videoId } = await call("POST", "/videos", JSON.stringify(body));
  await new Promise((resolve) => {
    finished = () => ["completed", "failed"].includes(seen.get(videoId)) && resolve();
    finished();
  });
  return call("GET", `/videos/${videoId}`);
}

/** Play in a <video> element, seek near the end, and say how far each came; or why not. */
async function play(url) {
  const video = document.createElement("video");
  video.muted = true;
  document.body.append(video);
  const on = (name) => new Promise((resolve) => video.addEventListener(name, resolve, { once: true }));
  const failed = on("error").then(() => ({ error: video.error.code }));
  const ready = on("loadedmetadata");
  video.src = url;
  const watched = (async () => {
    await ready;
    await video.play();
    while (video.currentTime < 0.3) await on("timeupdate");
    const played = video.currentTime;
    const { duration, videoWidth: width, videoHeight: height } = video;
    video.currentTime = duration - 0.5;
    await on("seeked");
    return { played, duration, width, height, sought: video.currentTime, end: video.seekable.end(0) };
  })();
  return Promise.race([watched, failed]);
}

/** What a page gets that fetches: the status, and how many bytes of a part. */
async function part(url) {
  const answer = await fetch(url, { headers: { range: "bytes=100-199" } });
  return { status: answer.status, length: (await answer.arrayBuffer()).byteLength };
}

const video = await owner.evaluate(makeVideo, at.request);
say("made", { status: video.status, url: video.play_url, error: video.error });

const viewer = await browser.newPage();
const requests = [];
viewer.on("response", (answer) => {
  if (answer.url() === video.play_url) requests.push(answer);
});
say("played", await viewer.evaluate(play, video.play_url));
say("requests", {
  seen: await Promise.all(requests.map(async (answer) => {
    const headers = await answer.request().allHeaders();
    return { status: answer.status(), range: headers.range, cookie: headers.cookie ?? "", referer: headers.referer };
  })),
});
say("part", await viewer.evaluate(part, video.play_url));

const stranger = await browser.newPage();
await useSdk(stranger, at);
await stranger.evaluate(() => me.account.createAnonymousSession());
const bare = `${video.play_url.split("?")[0]}?project=${at.project}`;
say("without token", {
  viewer: await viewer.evaluate(play, bare),
  guest: (await viewer.evaluate(part, bare)).status,
  stranger: await stranger.evaluate(async (url) => {
    const session = JSON.parse(localStorage.cookieFallback);
    const headers = { "x-fallback-cookies": JSON.stringify(session) };
    return (await fetch(url, { headers })).status;
  }, bare),
  owner: await owner.evaluate(async (url) => {
    return (await fetch(url, { headers: { "x-fallback-cookies": localStorage.cookieFallback } })).status;
  }, bare),
});

const tokens = new Tokens(new Client().setEndpoint(at.endpoint).setProject(at.project).setKey(at.key));
const [, bucketId, fileId] = bare.match(/buckets\/([^/]+)\/files\/([^/?]+)/);
const withToken = (token) => `${bare}&token=${token.secret}`;

const brief = await tokens.createFileToken({ bucketId, fileId });
const before = (await viewer.evaluate(part, withToken(brief))).status;
const { accessedAt } = await tokens.get({ tokenId: brief.$id });
const { expire } = await tokens.update({ tokenId: brief.$id, expire: new Date(Date.now() + 3000).toISOString() });
let after = before;
for (const end = Date.now() + 30000; after === 206 && Date.now() < end; ) {
  await new Promise((resolve) => setTimeout(resolve, 200));
  after = (await viewer.evaluate(part, withToken(brief))).status;
}
const late = Date.now() >= Date.parse(expire);
say("expired", { before, after, late, accessedAt, element: await viewer.evaluate(play, withToken(brief)) });

const deleted = await tokens.createFileToken({ bucketId, fileId });
const opened = (await viewer.evaluate(part, withToken(deleted))).status;
await tokens.delete({ tokenId: deleted.$id });
say("deleted", { before: opened, after: (await viewer.evaluate(part, withToken(deleted))).status });
await browser.close();
process.exit(0);
