// The connection, and what is known through it. docs/socketio.md has the protocol.
import { io } from "./vendor/socket.io.js";

const STALE_MS = 8000;
const STUCK_MS = 800;
const PRESS_MS = 300; // the service lets go of a key that it has not heard of for a second

/** The token: from the address's fragment, which no server sees, and from then on from this tab's own store. */
export function takeToken() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const token = fragment.get("token");
  if (token) {
    sessionStorage.setItem("ccwhisper.token", token);
    history.replaceState(null, "", location.pathname + location.search);
  }
  return token ?? sessionStorage.getItem("ccwhisper.token");
}

export class Desk extends EventTarget {
  #closing = null;

  constructor(address) {
    super();
    this.address = address;
    this.token = null;
    /** signed-out, connecting, live, stale, refused */
    this.status = "signed-out";
    this.refusal = null;
    this.me = null;
    this.calls = new Map();
    this.agents = new Map();
    this.coaches = new Map();
    this.sessions = new Map();
    this.nodes = new Map();
    this.cues = new Map();
    this.hands = new Map();
    this.queues = new Map();
    this.templates = {};
    this.policies = {};
    this.panel = null;
    this.seq = -1;
    this.ahead = 0; // how far the service's clock is ahead of ours, in seconds
    this.heard = 0;
    this.pressing = null;
    this.released = null; // the session whose key was let go of here, until the service has heard of it
    this.tail = 0; // how long what was said before a key was let go of is on its way, in ms
    setInterval(() => this.#watch(), 1000);
    addEventListener("blur", () => this.release());
    addEventListener("pagehide", () => this.release(0));
    document.addEventListener("visibilitychange", () => document.hidden && this.release(0)); // its timers go slow
  }

  now() {
    return Date.now() / 1000 + this.ahead;
  }

  connect(token) {
    this.socket?.close();
    this.token = token;
    this.status = "connecting";
    this.refusal = null;
    const socket = io(this.address, { transports: ["websocket"], auth: { token }, reconnectionDelayMax: 3000 });
    this.socket = socket;
    socket.on("snapshot", (data) => this.#snapshot(data));
    socket.on("delta", (data) => this.#delta(data));
    socket.on("panel", (data) => this.#panel(data));
    socket.on("alive", (data) => this.#hear(data));
    socket.on("expired", (data) => this.signOut(data));
    socket.on("disconnect", () => {
      this.#let();
      if (!["refused", "signed-out"].includes(this.status)) this.status = "stale";
      this.#tell();
    });
    socket.on("connect_error", (error) => {
      if (error.data && !error.data.retry) this.signOut(error.data);
      else if (this.status === "live") this.status = "stale";
      this.#tell();
    });
    this.#tell();
  }

  /** Forget the token; `refusal` says why. */
  signOut(refusal = null) {
    sessionStorage.removeItem("ccwhisper.token");
    this.token = null;
    this.refusal = refusal;
    this.status = refusal ? "refused" : "signed-out";
    this.me = this.panel = null;
    for (const kept of [this.calls, this.agents, this.coaches, this.sessions, this.nodes, this.cues, this.hands, this.queues]) kept.clear();
    this.#let();
    this.socket?.close();
    this.#tell();
  }

  /** Ask for an action; resolves with its data, rejects with {code, message, retry}. */
  async ask(op, params = {}, body) {
    const data = body === undefined ? { op, params } : { op, params, body };
    let answer;
    try {
      answer = await this.socket.timeout(5000).emitWithAck("ask", data);
    } catch {
      throw { code: "service_unreachable", message: "The service does not answer.", retry: true };
    }
    if (!answer.ok) throw answer.error;
    return answer.data;
  }

  /** Whether calls of this queue may be coached this way: listen, whisper, barge, take_over. */
  allows(queue, way) {
    const policy = this.policies[queue] ?? this.policies[""];
    return !policy || (policy.modes.includes("listen") && policy.modes.includes(way));
  }

  /** Whether what is known of gates is true now: we are connected, and the service to a switch. */
  sure() {
    return this.status === "live" && (!this.nodes.size || [...this.nodes.values()].some((node) => node.up));
  }

  /** Push-to-talk is held: said again and again until `release`, or until the connection or the page is gone. */
  press(session) {
    if (this.pressing || !this.socket?.connected) return; // what is said without a connection would be heard when the key is up again
    this.#takeBack();
    const held = { session };
    const say = () => this.ask("press", { session }).catch((error) => this.#pressFailed(error, held));
    held.timer = setInterval(say, PRESS_MS);
    this.pressing = held;
    say();
    this.#tell();
  }

  /** The key repeats itself. If it stops to, and nobody has let go of it, then that has been lost, and it is let go.
   *  How fast keys repeat, people set for themselves; those that never do are taken as held. */
  repeated() {
    const held = this.pressing;
    if (!held) return;
    const now = performance.now();
    const pace = held.repeated ? now - held.repeated : 0;
    held.repeated = now;
    clearTimeout(held.stuck);
    if (pace) held.stuck = setTimeout(() => this.release(), Math.max(STUCK_MS, 3 * pace));
  }

  /** The key is let go of: the service hears of it when what was said before is through, in `tail` ms. */
  release(tail = this.tail) {
    const session = this.pressing?.session ?? (tail ? null : this.released);
    if (!session) return;
    this.#let();
    this.#takeBack();
    this.released = session;
    if (tail) this.#closing = setTimeout(() => this.#sayReleased(session), tail);
    else this.#sayReleased(session);
    this.#tell();
  }

  async #sayReleased(session) {
    if (this.socket?.connected) await this.ask("release", { session }).catch(() => {});
    if (this.released === session && !this.pressing) this.#takeBack();
  }

  #takeBack() {
    clearTimeout(this.#closing);
    this.released = null;
  }

  #pressFailed(error, held) {
    if (this.pressing === held) this.#let(); // another press has its own answer
    this.dispatchEvent(new CustomEvent("refused", { detail: error }));
    this.#tell();
  }

  #let() {
    clearInterval(this.pressing?.timer);
    clearTimeout(this.pressing?.stuck);
    this.pressing = null;
  }

  #snapshot(data) {
    this.me = data.me;
    const fill = (map, list, key) => {
      map.clear();
      for (const each of list ?? []) map.set(each[key], each);
    };
    fill(this.calls, data.calls, "id");
    fill(this.agents, data.agents, "id");
    fill(this.coaches, data.coaches, "session");
    fill(this.sessions, data.sessions, "id");
    fill(this.nodes, data.nodes, "name");
    fill(this.cues, data.cues, "id");
    fill(this.hands, data.hands, "agent");
    fill(this.queues, data.queues, "name");
    this.#rule(data.policies ?? {});
    this.seq = data.seq;
    this.#hear(data);
  }

  #delta(data) {
    if (data.from > this.seq) {
      this.socket.emit("resync");
      return;
    }
    if (data.seq > this.seq) {
      for (const event of data.events) this.#apply(event);
      this.seq = data.seq;
    }
    this.#hear(data);
  }

  #apply({ type, data }) {
    switch (type) {
      case "call.changed":
        this.calls.set(data.id, data);
        break;
      case "call.ended":
        this.calls.delete(data.id);
        break;
      case "coach.changed":
        this.coaches.set(data.session, data);
        break;
      case "coach.left":
        this.coaches.delete(data.session);
        break;
      case "session.changed":
        this.sessions.set(data.id, data);
        break;
      case "session.ended":
        this.sessions.delete(data.id);
        for (const cue of this.cues.values()) if (cue.session === data.id) this.cues.delete(cue.id);
        if (this.pressing?.session === data.id) this.#let();
        this.dispatchEvent(new CustomEvent("ended", { detail: data }));
        break;
      case "cue.changed":
        this.cues.set(data.id, data);
        break;
      case "hand.raised":
        this.hands.set(data.agent, data);
        this.dispatchEvent(new CustomEvent("hand", { detail: data }));
        break;
      case "hand.lowered":
        this.hands.delete(data.agent);
        break;
      case "agent.changed":
        this.agents.set(data.id, data);
        break;
      case "queue.changed":
        this.queues.set(data.name, data);
        break;
      case "queue.gone":
        this.queues.delete(data.name);
        break;
      case "node.changed":
        this.nodes.set(data.name, data);
        break;
      case "policies.changed":
        this.#rule(data);
        break;
      case "beep.failed":
        this.dispatchEvent(new CustomEvent("beepless", { detail: data }));
        break;
    }
  }

  #rule(policies) {
    this.policies = policies;
    this.templates = Object.fromEntries(Object.entries(policies).map(([queue, each]) => [queue, each.cues]));
    for (const session of this.sessions.values()) {
      const queue = this.calls.get(session.call)?.queue;
      if (queue !== undefined && !this.allows(queue, session.mode)) this.dispatchEvent(new CustomEvent("putback", { detail: session }));
    }
  }

  #panel(data) {
    this.panel = data;
    this.#hear(data);
  }

  #hear(data) {
    this.heard = performance.now();
    this.ahead = data.at - Date.now() / 1000;
    this.status = "live";
    this.#tell();
  }

  #watch() {
    if (this.status === "live" && performance.now() - this.heard > STALE_MS) {
      this.status = "stale";
      this.#let();
      this.#tell();
    }
  }

  #tell() {
    this.dispatchEvent(new Event("news"));
  }
}
