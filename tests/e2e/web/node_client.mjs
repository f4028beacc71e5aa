// node-appwrite with a server's key: tables, rows, files, functions, users, teams and tokens.
//
// node node_client.mjs '{"endpoint", "project", "key", "code"}' (`code`: a function as tar.gz); prints one JSON line per part.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import {
  Account, Client, ExecutionMethod, Functions, ID, Permission, Query, Role, Runtime, Storage, TablesDB, Teams, Tokens,
  Users,
} from "node-appwrite";
import { InputFile } from "node-appwrite/file";

const at = JSON.parse(process.argv[2]);
const say = (kind, fields) => process.stdout.write(JSON.stringify({ kind, ...fields }) + "\n");
const client = () => new Client().setEndpoint(at.endpoint).setProject(at.project);
const server = client().setKey(at.key);
const refusal = (call) => call.then(() => "let in", (error) => `${error.code} ${error.type}`);
const idsOf = (list) => list.map((each) => each.$id);

async function tablesAndRows() {
  const tables = new TablesDB(server);
  const databaseId = (await tables.create({ databaseId: "node", name: "Node" })).$id;
  const table = await tables.createTable({ databaseId, tableId: "notes", name: "Notes", rowSecurity: true });
  const where = { databaseId, tableId: table.$id };
  await tables.createVarcharColumn({ ...where, key: "text", size: 40, required: true });
  await tables.createIntegerColumn({ ...where, key: "n", required: false, min: 0, max: 9, xdefault: 1 });
  await tables.createDatetimeColumn({ ...where, key: "at", required: false });
  await tables.createIndex({ ...where, key: "by_n", type: "key", columns: ["n"] });
  const columns = (await tables.listColumns(where)).columns;
  const index = await tables.getIndex({ ...where, key: "by_n" });
  const permissions = [Permission.read(Role.any()), Permission.update(Role.user("someone"))];
  const row = await tables.createRow({ ...where, rowId: "one", data: { text: "a" }, permissions });
  const changed = await tables.updateRow({ ...where, rowId: "one", data: { text: "b" } });
  const grown = await tables.incrementRowColumn({ ...where, rowId: "one", column: "n", value: 2 });
  const placed = await tables.upsertRow({ ...where, rowId: "two", data: { text: "c", n: 5 } });
  const many = await tables.createRows({ ...where, rows: ["x", "y"].map((text) => ({ $id: ID.unique(), text, n: 9 })) });
  const found = await tables.listRows({
    ...where, queries: [Query.greaterThan("n", 2), Query.orderDesc("n"), Query.limit(3), Query.select(["n"])],
  });
  const refused = {
    again: await refusal(tables.createRow({ ...where, rowId: "one", data: { text: "a" } })),
    tooLong: await refusal(tables.createRow({ ...where, rowId: ID.unique(), data: { text: "a".repeat(41) } })),
    tooMuch: await refusal(tables.updateRow({ ...where, rowId: "one", data: { n: 10 } })),
    nowhere: await refusal(tables.getRow({ ...where, rowId: "nowhere" })),
    query: await refusal(tables.listRows({ ...where, queries: [Query.equal("nothing", 1)] })),
    column: await refusal(tables.getColumn({ ...where, key: "nothing" })),
  };
  const deleted = await tables.deleteRows({ ...where, queries: [Query.equal("n", 9)] });
  await tables.deleteRow({ ...where, rowId: "two" });
  const left = await tables.listRows(where);
  await tables.delete({ databaseId });
  say("rows", {
    columns: columns.map(({ key, type, status }) => [key, type, status]), index: [index.status, index.columns],
    row: { ...row, $createdAt: undefined, $updatedAt: undefined }, changed: changed.text, grown: grown.n,
    placed: [placed.$id, placed.n], many: many.total, found: found.rows.map((each) => each.n), total: found.total,
    refused, deleted: deleted.total, left: idsOf(left.rows), gone: await refusal(tables.get({ databaseId })),
  });
}

async function files() {
  const storage = new Storage(server);
  const bucketId = (await storage.createBucket({ bucketId: "node", name: "Node", fileSecurity: true })).$id;
  const bytes = Buffer.alloc(11 * 1024 * 1024 + 7, "0123456789abcdef!");
  const steps = [];
  const large = await storage.createFile({
    bucketId, fileId: ID.unique(), file: InputFile.fromBuffer(bytes, "large.bin"),
    onProgress: ({ chunksUploaded }) => steps.push(chunksUploaded),
  });
  const small = await storage.createFile({ bucketId, fileId: "small", file: InputFile.fromPlainText("hello", "a.txt") });
  const sha256 = (content) => createHash("sha256").update(Buffer.from(content)).digest("hex");
  const download = await storage.getFileDownload({ bucketId, fileId: large.$id });
  const view = await storage.getFileView({ bucketId, fileId: "small" });
  const renamed = await storage.updateFile({ bucketId, fileId: "small", name: "b.txt", permissions: [] });
  const listed = await storage.listFiles({ bucketId, queries: [Query.equal("name", "b.txt")] });

  const tokens = new Tokens(server);
  const which = { bucketId, fileId: "small" };
  const token = await tokens.createFileToken(which);
  const open = async () => {
    const url = `${at.endpoint}/storage/buckets/node/files/small/view?project=${at.project}&token=${token.secret}`;
    return (await fetch(url)).status;
  };
  const opened = await open();
  const seen = await tokens.get({ tokenId: token.$id });
  const expire = new Date(Date.now() + 3600_000).toISOString();
  const updated = await tokens.update({ tokenId: token.$id, expire });
  const all = await tokens.list(which);
  await tokens.delete({ tokenId: token.$id });
  say("files", {
    size: large.sizeOriginal, chunks: large.chunksTotal, steps, same: sha256(download) === sha256(bytes),
    small: small.signature, text: Buffer.from(view).toString(), renamed: renamed.name, listed: idsOf(listed.files),
    token: { for: token.resourceId, used: seen.accessedAt !== "", end: Date.parse(updated.expire) === Date.parse(expire) },
    tokens: all.total, opened, closed: await open(),
    gone: await refusal(tokens.get({ tokenId: token.$id })),
    deleted: [await storage.deleteFile(which), await refusal(storage.getFile(which))],
  });
  await storage.deleteBucket({ bucketId });
}

async function functions() {
  const service = new Functions(server);
  const functionId = "node";
  const made = await service.create({
    functionId, name: "Node", runtime: Runtime.Python312, execute: [Role.users()], entrypoint: "main.py",
  });
  const variable = await service.createVariable({ functionId, variableId: ID.unique(), key: "GREETING", value: "hello" });
  const before = await refusal(service.createExecution({ functionId }));
  const code = InputFile.fromBuffer(readFileSync(at.code), "code.tar.gz");
  const { $id: deploymentId } = await service.createDeployment({ functionId, code, activate: true });
  let deployment;
  do {
    await new Promise((resolve) => setTimeout(resolve, 100));
    deployment = await service.getDeployment({ functionId, deploymentId });
  } while (!["ready", "failed"].includes(deployment.status));
  const execution = await service.createExecution({
    functionId, body: "to you", xpath: "/say?loud=1", method: ExecutionMethod.POST, headers: { "x-tone": "kind" },
  });
  const later = await service.createExecution({ functionId, async: true });
  const listed = await service.listExecutions({ functionId });
  say("functions", {
    made: [made.$id, made.execute], variable: variable.key, before, deployment: deployment.status,
    logs: deployment.buildLogs,
    execution: [execution.status, execution.responseStatusCode, execution.responseBody], later: later.status,
    listed: listed.total, has: idsOf(listed.executions).includes(later.$id),
    deleted: [await service.delete({ functionId }), await refusal(service.get({ functionId }))],
  });
}

async function people() {
  const users = new Users(server);
  const who = { email: "node@example.test", phone: "+49301234567", password: "correct horse battery" };
  const user = await users.create({ userId: ID.unique(), name: "Nora", ...who });
  const userId = user.$id;
  const refused = {
    again: await refusal(users.create({ userId: ID.unique(), ...who })),
    password: await refusal(users.updatePassword({ userId, password: "short" })),
    phone: await refusal(users.updatePhone({ userId, number: "110" })),
    nobody: await refusal(users.get({ userId: "nobody" })),
  };
  await users.updateName({ userId, name: "Nora N." });
  await users.updateEmail({ userId, email: "nora@example.test" });
  await users.updatePhone({ userId, number: "+49301234568" });
  await users.updatePassword({ userId, password: "another horse battery" });
  await users.updateEmailVerification({ userId, emailVerification: true });
  await users.updatePhoneVerification({ userId, phoneVerification: true });
  await users.updateLabels({ userId, labels: ["editor"] });
  await users.updatePrefs({ userId, prefs: { theme: "dark" } });
  const shown = await users.get({ userId });
  const found = await users.list({ search: "nora@", queries: [Query.equal("status", true), Query.limit(5)] });

  const session = await users.createSession({ userId });
  const bySession = await new Account(client().setSession(session.secret)).get();
  const { jwt } = await users.createJWT({ userId, sessionId: session.$id });
  const byToken = await new Account(client().setJWT(jwt)).get();
  const signIn = (password) => new Account(server).createEmailPasswordSession({ email: "nora@example.test", password });
  const old = await refusal(signIn(who.password));
  const second = await signIn("another horse battery");
  const { secret } = await users.createToken({ userId });
  const third = await new Account(server).createSession({ userId, secret });
  const sessions = await users.listSessions({ userId });
  await users.deleteSession({ userId, sessionId: session.$id });
  const after = await refusal(new Account(client().setJWT(jwt)).get());
  await users.deleteSessions({ userId });
  const none = await users.listSessions({ userId });

  const teams = new Teams(server);
  const teamId = (await teams.create({ teamId: ID.unique(), name: "Crew" })).$id;
  const member = await teams.createMembership({ teamId, roles: ["editor"], userId });
  const invited = await teams.createMembership({ teamId, roles: [], email: "new@example.test", name: "New" });
  const raised = await teams.updateMembership({ teamId, membershipId: member.$id, roles: ["owner"] });
  await teams.updatePrefs({ teamId, prefs: { colour: "blue" } });
  const memberships = await users.listMemberships({ userId });
  const crew = await teams.listMemberships({ teamId, queries: [Query.equal("userId", invited.userId)] });
  say("people", {
    refused, shown: { ...shown, password: undefined, targets: undefined }, hidden: shown.password.includes("horse"),
    prefs: await users.getPrefs({ userId }), found: idsOf(found.users).join() === userId,
    same: [bySession.$id, byToken.$id, second.userId, third.userId].every((id) => id === userId), old,
    sessions: sessions.total, after, none: none.total,
  });
  say("teams", {
    member: [member.userName, member.teamName, member.confirm], raised: raised.roles,
    memberships: memberships.memberships.map((each) => each.teamId === teamId), crew: idsOf(crew.memberships).length,
    invited: (await users.get({ userId: invited.userId })).email, prefs: await teams.getPrefs({ teamId }),
    total: (await teams.get({ teamId })).total, renamed: (await teams.updateName({ teamId, name: "Ours" })).name,
    deleted: [
      await teams.deleteMembership({ teamId, membershipId: member.$id }), await teams.delete({ teamId }),
      await refusal(teams.get({ teamId })),
    ],
    userDeleted: [await users.delete({ userId }), await refusal(users.get({ userId }))],
  });
}

await tablesAndRows();
await files();
await functions();
await people();
