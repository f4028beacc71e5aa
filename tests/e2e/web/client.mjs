// An anonymous user of Scenewright: signed in, listening, able to call the function.

import { keptSession, say, subscribed } from "./browser.mjs";
import { Account, Client, ExecutionMethod, Functions, Realtime } from "appwrite";

const DATABASE = "video_metadata";
const FUNCTION = "video_generation";
export const TABLES = ["videos", "scenes"];

/** The rows of a table, whoever owns them: who may read a row is decided when its event is delivered. */
export const channelOf = (table) => `databases.${DATABASE}.tables.${table}.rows`;

export class Person {
  constructor({ endpoint, project }) {
    this.project = project;
    this.client = new Client().setEndpoint(endpoint).setProject(project);
    this.functions = new Functions(this.client);
    this.realtime = new Realtime(this.client);
  }

  /** Begin an anonymous session. */
  async signIn() {
    const session = await new Account(this.client).createAnonymousSession();
    say("signed_in", { userId: session.userId, session: keptSession(this.project) });
  }

  /** Listen to the rows of videos and scenes; returns when the server has acknowledged it. */
  async listen(onEvent) {
    const ready = subscribed();
    await this.realtime.subscribe(TABLES.map(channelOf), onEvent);
    await ready;
    say("listening");
  }

  /** Call the function; the parsed answer and its status. */
  async call(method, xpath, body = "", headers = {}) {
    const execution = await this.functions.createExecution({
      functionId: FUNCTION,
      body: body && JSON.stringify(body),
      async: false,
      xpath,
      method: ExecutionMethod[method],
      headers,
    });
    return { status: execution.responseStatusCode, body: JSON.parse(execution.responseBody || "null") };
  }
}
