// This page as a phone: rung by the service alone, through its relay. docs/browser-phone.md has the protocol.
import { MICROPHONE, Microphone } from "./microphone.js";

const RETRIES_MS = [0, 200, 300, 500, 1000, 2000]; // between tries to reach the service, at first and at last
const BUSY_MS = 400; // the same during a call: a service that has been restarted hears of the page before it closes the gate
const WAITING = 32; // messages that wait for the connection
const MOVED_MS = 3000; // between tries to find another way through the network
const GREETING_MS = 5000; // how long a connection may take
const STEADY_MS = 1000; // a connection that held so long was a good one: the next is tried for at once
const LONG_TRIES = 5; // after so many tries, and after so long, it says what may be the matter
const LONG_MS = 5000;
const CLOSED = 1000; // for good: else the service waits for this page to come back
const WELCOME_MS = 3000; // how long a call may ring before the session that it is for has been heard of
const GATHER_MS = 400; // how long to look for ways through the network once one is known
const EXPIRED = 4401;
const BESIDES_MS = 60; // from the microphone to the agent without any network: the sound card, a packet, the switch's buffers
const TAIL_MS = 150; // from here to the agent, at most: so much later than the microphone the gate closes, or the last word is cut off
const ECHO_SECONDS = 1;
const LATE_MS = 150;
const LOSSY = 0.03;

const TOUCHES = ["mousedown", "keydown", "touchend"]; // by the user: with them a page may make a sound

export class Softphone extends EventTarget {
  #socket = null;
  #ua = null;
  #call = null;
  #microphone = new Microphone(() => this.#tell());
  #sound = null;
  #retry = null;
  #tries = 0;
  #met = 0; // since when the service has greeted this page through the connection that it has
  #wire = null; // what JsSIP takes for its socket: it outlives ours
  #unsent = [];
  #key = null; // by which the service knows this page again; in no store, and no other page has it
  #moved = 0;
  #echo = null;

  constructor(desk) {
    super();
    this.desk = desk;
    this.on = false;
    this.device = null;
    /** switches at which this page can be rung */
    this.registered = [];
    this.settings = { input: "", output: "", filter: true, ...JSON.parse(localStorage.getItem("ccwhisper.phone") ?? "{}") };
    desk.addEventListener("news", () => this.#gate());
    desk.addEventListener("ended", ({ detail }) => detail.id === this.#call?.session && this.#left(detail.reason));
    addEventListener("pagehide", () => this.#drop());
    addEventListener("online", () => this.#move());
    navigator.connection?.addEventListener("change", () => this.#move());
    addEventListener("pageshow", ({ persisted }) => persisted && this.on && this.start()); // the browser's "back"
    navigator.mediaDevices?.addEventListener("devicechange", () => this.dispatchEvent(new Event("devices")));
    for (const touch of TOUCHES) addEventListener(touch, () => this.#wake(), true);
  }

  /** Whether this page can be rung now. */
  get ready() {
    return this.on && this.microphone === "ready" && this.registered.length > 0 && !this.taken;
  }

  /** Of the microphone: one of `MICROPHONE`. */
  get microphone() {
    return this.#microphone.state;
  }

  /** Whether this page is in a call. */
  get busy() {
    return !!this.#call;
  }

  /** Whether the browser plays no sound because nobody has touched the page. */
  get silenced() {
    return !!this.#sound?.paused;
  }

  /** Whether this page talks with a caller who was taken over. */
  get taken() {
    return !!this.#call?.taken;
  }

  /** In words, what hinders; empty when nothing does. */
  get hindrance() {
    if (this.ready) return "";
    if (MICROPHONE[this.microphone]) return MICROPHONE[this.microphone];
    if (this.#call && !this.#met) return "The connection is lost and made again. The call goes on, but after a second nobody hears you until it is back.";
    if (this.taken) return "You talk with the caller. The microphone is open.";
    const connecting = "Connecting this browser to the switch …";
    if (!this.#met) return this.#tries < LONG_TRIES ? connecting : `${connecting} The service does not answer, or you have too many pages open.`;
    return performance.now() - this.#met < LONG_MS ? connecting : `${connecting} The service does not reach it. A desk phone works meanwhile.`;
  }

  async start() {
    this.on = true;
    if (this.microphone !== "ready") await this.#open();
    if (this.on && this.microphone === "ready") await this.#connect();
  }

  stop() {
    this.on = false;
    this.#drop();
    this.echo(false);
    this.#microphone.shut();
    this.#tell();
  }

  /** Other settings: {input, output} by the browser's ids, {filter}: whether echo and noise are taken out. */
  async set(part) {
    Object.assign(this.settings, part);
    localStorage.setItem("ccwhisper.phone", JSON.stringify(this.settings));
    if ("output" in part) this.#aim(this.#sound, this.#echo?.sound);
    else if (this.on) {
      await this.#open();
      if (this.microphone === "ready" && !this.device) await this.#connect();
    }
    this.#tell();
  }

  /** Microphones and speakers, as the browser names them. */
  async devices() {
    const all = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
    return { input: all.filter((each) => each.kind === "audioinput"), output: all.filter((each) => each.kind === "audiooutput") };
  }

  /** The microphone's level in dBFS, now; it is measured before anything is muted. */
  level() {
    return this.#microphone.level();
  }

  /** Whether one hears oneself, a second later. */
  get echoes() {
    return this.#echo !== null;
  }

  /** Play what the microphone hears to the speaker, a second later, or stop that. Nothing of it leaves the computer. */
  echo(on) {
    this.#echo?.sound.pause();
    this.#echo?.context.close();
    this.#echo = null;
    const { stream } = this.#microphone;
    if (on && stream && !this.#call) {
      const context = new AudioContext();
      const late = new DelayNode(context, { delayTime: ECHO_SECONDS, maxDelayTime: ECHO_SECONDS });
      const played = new MediaStreamAudioDestinationNode(context);
      context.createMediaStreamSource(stream).connect(late).connect(played);
      this.#echo = { context, sound: this.#play(played.stream) };
    }
    this.#tell();
  }

  /** How good the way to the switch is, from the connection's own statistics; null when there is no call. `trip` there and back and
   *  `jitter`, in ms; `delay` in ms, an estimate of how late the agent hears what is said here; `loss` 0 to 1, of the packets to here
   *  since the last question or from here, whichever is worse; `poor` in words. */
  async quality() {
    const call = this.#call;
    const report = await call?.rtc.connection?.getStats();
    if (!report || this.#call !== call) return null;
    const all = [...report.values()];
    const pair = all.find((each) => each.type === "candidate-pair" && each.nominated && each.state === "succeeded");
    const there = all.find((each) => each.type === "remote-inbound-rtp");
    const here = all.find((each) => each.type === "inbound-rtp");
    const seconds = there?.roundTripTime ?? pair?.currentRoundTripTime;
    if (seconds === undefined || !here) return null;
    const [trip, jitter] = [1000 * seconds, 1000 * (there ?? here).jitter];
    const before = call.counted ?? { lost: 0, got: 0 };
    call.counted = { lost: here.packetsLost, got: here.packetsReceived };
    const lost = Math.max(0, call.counted.lost - before.lost);
    const loss = Math.max(lost / (lost + call.counted.got - before.got || 1), there?.fractionLost ?? 0);
    const delay = Math.round(BESIDES_MS + trip / 2 + jitter);
    const poor = loss > LOSSY ? "Packets are lost: a cable instead of the radio network helps, or a desk phone."
      : delay > LATE_MS ? "The agent hears you late: speak in the pauses, or take a desk phone." : "";
    return { trip, jitter, delay, loss, poor };
  }

  // --- the microphone ---

  async #open() {
    this.echo(false);
    await this.#microphone.open(this.settings);
    this.#gate();
    const [track] = this.#microphone.sent?.getAudioTracks() ?? [];
    const sender = this.#call?.rtc.connection?.getSenders().find((each) => each.track?.kind === "audio");
    if (track) await sender?.replaceTrack(track).catch(() => {}); // the call may be over
  }

  /** The gate at the switch decides; this one only sees to it that nothing leaves the page while nobody is to hear. */
  #gate() {
    const session = this.desk.sessions.get(this.#call?.session);
    const elsewhere = session?.pressed && this.desk.released !== session.id; // in another window of his
    const held = session && (this.desk.pressing?.session === session.id || elsewhere);
    const speaks = this.taken || (session && session.wanted !== "listen" && !session.muted && (session.talk === "open" || held));
    this.#microphone.let(!!speaks);
    this.desk.tail = this.#call ? TAIL_MS : 0;
  }

  // --- the connection ---

  async #connect() {
    const library = await import("./vendor/jssip.js").catch(() => null);
    const { token } = this.desk;
    if (this.#socket || !this.on || !token) return;
    if (!library) return this.#again();
    const address = new URL("/browser-phone", this.desk.address);
    address.protocol = address.protocol.replace("http", "ws");
    const known = this.#key ? [`resume.${this.#key}`] : [];
    const socket = new WebSocket(address, ["ccwhisper.phone", `bearer.${token}`, ...known]);
    this.#socket = socket;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#again(), GREETING_MS);
    socket.addEventListener("message", ({ data }) => {
      if (this.#socket !== socket) return;
      if (!data.startsWith("{")) return this.#wire?.ondata(data);
      const told = JSON.parse(data);
      if (told.device) this.#greet(library.default, told);
      if (told.resume) this.#key = told.resume;
      if (told.registered) this.registered = told.registered;
      this.#tell();
    });
    socket.addEventListener("close", ({ code }) => {
      if (this.#socket !== socket) return;
      if (code === EXPIRED || !this.on) this.#drop();
      else this.#again();
      if (code === EXPIRED && token !== this.desk.token) this.#connect(); // signed in anew meanwhile
      this.#tell();
    });
  }

  /** The connection is lost, or not to be trusted any more: a new one is made, and the call goes on meanwhile. */
  #again() {
    const socket = this.#socket;
    if (this.#met && performance.now() - this.#met > STEADY_MS) this.#tries = 0;
    this.#socket = null;
    this.#met = 0;
    this.registered = [];
    socket?.close();
    clearTimeout(this.#retry);
    const pause = RETRIES_MS[Math.min(this.#tries, RETRIES_MS.length - 1)];
    this.#retry = setTimeout(() => this.#connect(), this.#call ? Math.min(pause, BUSY_MS) : pause);
    this.#tries += 1;
  }

  /** The service has said who this page is: the same as before, or another, whose calls are over then. */
  #greet(JsSIP, told) {
    this.#met = performance.now();
    clearTimeout(this.#retry);
    if (!told.resumed || told.device !== this.device || !this.#ua) {
      this.hangUp();
      this.#ua?.stop();
      this.#unsent = [];
      this.#register(JsSIP, told);
    }
    for (const text of this.#unsent.splice(0)) this.#wire.send(text);
    if (this.#moved) this.#findAnotherWay();
  }

  #register(JsSIP, { device, ice_servers: iceServers }) {
    const [user] = device.split("@");
    const wire = {
      url: "wss://relay.invalid",
      via_transport: "WS",
      sip_uri: "sip:relay.invalid;transport=ws",
      connect: () => wire.onconnect(),
      disconnect: () => {},
      send: (text) => {
        if (this.#wire !== wire) return false;
        if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(text);
        else this.#unsent = [...this.#unsent.slice(1 - WAITING), text];
        return true;
      },
    };
    this.#wire = wire;
    this.device = device;
    // The service registers the address; the page cannot.
    this.#ua = new JsSIP.UA({ sockets: [wire], uri: `sip:${device}`, contact_uri: `sip:${user}@${user}.invalid;transport=ws`, register: false, session_timers: false });
    this.#ua.on("newRTCSession", ({ originator, session, request }) => originator === "remote" && this.#ring(session, request, iceServers));
    this.#ua.start();
  }

  #drop() {
    clearTimeout(this.#retry);
    this.hangUp();
    this.#ua?.stop();
    const socket = this.#socket;
    this.#socket = this.#ua = this.#wire = this.#key = this.device = null;
    this.#unsent = [];
    this.#tries = this.#met = this.#moved = 0;
    this.registered = [];
    if (socket?.readyState === WebSocket.OPEN) socket.close(CLOSED);
    else socket?.close();
  }

  /** Another network: neither the connection nor the media's way through the old one can be trusted. */
  #move() {
    if (!this.on || !this.device) return;
    this.#moved = performance.now();
    this.#tries = 0;
    this.#again();
    this.#tell();
  }

  /** An ICE restart: the switch is offered this computer's addresses as they are now, and the call goes on. */
  #findAnotherWay() {
    this.#moved = 0;
    const call = this.#call;
    if (call?.rtc.isEstablished()) call.rtc.renegotiate({ rtcOfferConstraints: { iceRestart: true } });
  }

  // --- the call ---

  async #ring(rtc, request, iceServers) {
    const session = request.getHeader("X-CCW-Session");
    const call = { rtc, session };
    rtc.on("peerconnection", ({ peerconnection }) => {
      peerconnection.addEventListener("track", ({ track }) => {
        this.#sound = this.#play(new MediaStream([track]));
      });
      peerconnection.addEventListener("iceconnectionstatechange", () => this.#watch(call, peerconnection));
    });
    rtc.on("icecandidate", ({ ready }) => setTimeout(ready, GATHER_MS));
    for (const event of ["ended", "failed"]) rtc.on(event, () => this.#over(call));
    const welcome = await this.#awaited(session);
    if (rtc.isEnded()) return undefined; // whoever called has not waited
    if (this.#call || this.microphone !== "ready" || !welcome) return rtc.terminate({ status_code: 480 });
    this.#call = call;
    this.echo(false);
    this.#gate();
    return rtc.answer({ mediaStream: this.#microphone.sent, pcConfig: { iceServers } });
  }

  /** The media find no way to the switch: another is looked for, until there is one, or the browser gives up. */
  #watch(call, peer) {
    if (peer.iceConnectionState !== "disconnected" || this.#call !== call) return;
    if (this.#socket?.readyState === WebSocket.OPEN) this.#findAnotherWay();
    setTimeout(() => this.#watch(call, peer), MOVED_MS);
  }

  /** Whether this is the call of a session that was asked for here; it may ring before that has been heard. */
  #awaited(session) {
    const known = () => this.desk.sessions.get(session)?.device === this.device;
    if (known()) return true;
    return new Promise((resolve) => {
      const done = (answer) => {
        clearTimeout(timer);
        this.desk.removeEventListener("news", look);
        resolve(answer);
      };
      const timer = setTimeout(done, WELCOME_MS, false);
      const look = () => known() && done(true);
      this.desk.addEventListener("news", look);
    });
  }

  #play(stream) {
    const sound = new Audio();
    sound.srcObject = stream;
    this.#aim(sound);
    sound.play().catch(() => this.#tell());
    return sound;
  }

  /** The user has touched the page: what the browser kept silent until then may be heard. */
  #wake() {
    this.#microphone.wake();
    if (this.silenced) this.#sound.play().then(() => this.#tell()).catch(() => {});
  }

  #aim(...sounds) {
    for (const sound of sounds) if (sound?.setSinkId) sound.setSinkId(this.settings.output).catch(() => {});
  }

  /** The session is over, and with it the call; unless it has become one with the caller. */
  #left(reason) {
    if (reason !== "took_over") return this.hangUp();
    this.#call.taken = true;
    this.#gate();
    return this.#tell();
  }

  /** End the call. */
  hangUp() {
    const call = this.#call;
    if (!call) return;
    this.#over(call);
    if (!call.rtc.isEnded()) call.rtc.terminate();
  }

  #over(call) {
    if (this.#call !== call) return;
    this.#call = null;
    if (this.#sound) this.#sound.srcObject = null;
    this.#sound = null;
    this.#gate();
    this.#tell();
  }

  #tell() {
    this.dispatchEvent(new Event("news"));
  }
}
