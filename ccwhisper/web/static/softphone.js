// This page as a phone: rung by the service alone, through its relay. docs/browser-phone.md has the protocol.

const RETRIES_MS = [0, 200, 300, 500, 1000, 2000]; // between tries to reach the service, at first and at last
const BUSY_MS = 400; // the same during a call: a service that has been restarted hears of the page before it closes the gate
const WAITING = 32; // messages that wait for the connection
const MOVED_MS = 3000; // between tries to find another way through the network
const CLOSED = 1000; // for good: else the service waits for this page to come back
const WELCOME_MS = 3000; // how long a call may ring before the session that it is for has been heard of
const GATHER_MS = 400; // how long to look for ways through the network once one is known
const EXPIRED = 4401;
const BESIDES_MS = 60; // from the microphone to the agent without any network: the sound card, a packet, the switch's buffers
const TAIL_MS = 150; // from here to the agent, at most: so much later than the microphone the gate closes, or the last word is cut off
const ECHO_SECONDS = 1;
const LATE_MS = 150;
const LOSSY = 0.03;

/** What the microphone gives, and whether it may. */
export const MICROPHONE = {
  off: "",
  asking: "The browser asks whether this page may use the microphone: allow it.",
  ready: "",
  insecure: "The browser gives the microphone to pages over https only.",
  denied: "The browser does not let this page use the microphone. Allow it beside the page's address, then try again.",
  missing: "There is no microphone. Plug one in, then try again.",
  taken: "The microphone cannot be opened: another program may have it.",
};

const FAILURES = { NotAllowedError: "denied", SecurityError: "denied", NotFoundError: "missing", OverconstrainedError: "missing" };

export class Softphone extends EventTarget {
  #socket = null;
  #ua = null;
  #call = null;
  #sent = null; // our own tracks of the microphone: closed while nobody is to hear it
  #sound = null;
  #retry = null;
  #tries = 0;
  #wire = null; // what JsSIP takes for its socket: it outlives ours
  #unsent = [];
  #key = null; // by which the service knows this page again; in no store, and no other page has it
  #moved = 0;
  #level = null;
  #echo = null;

  constructor(desk) {
    super();
    this.desk = desk;
    this.on = false;
    this.microphone = "off";
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
    navigator.mediaDevices?.addEventListener("devicechange", () => this.#tell());
  }

  /** Whether this page can be rung now. */
  get ready() {
    return this.on && this.microphone === "ready" && this.registered.length > 0 && !this.taken;
  }

  /** Whether this page talks with a caller who was taken over. */
  get taken() {
    return !!this.#call?.taken;
  }

  /** In words, what hinders; empty when nothing does. */
  get hindrance() {
    if (this.ready) return "";
    if (MICROPHONE[this.microphone]) return MICROPHONE[this.microphone];
    if (!this.#call || this.#tries === 0) return "Connecting this browser to the switch …";
    return "The connection is lost and made again. The call goes on, but after a second nobody hears you until it is back.";
  }

  async start() {
    this.on = true;
    if (this.microphone !== "ready") await this.#open();
    if (this.on && this.microphone === "ready") await this.#connect();
  }

  stop() {
    this.on = false;
    this.#drop();
    this.#shut();
    this.microphone = "off";
    this.#tell();
  }

  /** Other settings: {input, output} by the browser's ids, {filter}: whether echo and noise are taken out. */
  async set(part) {
    Object.assign(this.settings, part);
    localStorage.setItem("ccwhisper.phone", JSON.stringify(this.settings));
    if ("output" in part) this.#aim(this.#sound, this.#echo?.sound);
    else if (this.on) {
      await this.#open();
      const [track] = this.#sent?.getAudioTracks() ?? [];
      const sender = this.#call?.rtc.connection?.getSenders().find((each) => each.track?.kind === "audio");
      if (track) await sender?.replaceTrack(track);
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
    if (!this.#level) return -Infinity;
    const { analyser, samples } = this.#level;
    analyser.getFloatTimeDomainData(samples);
    return 10 * Math.log10(samples.reduce((sum, each) => sum + each * each, 0) / samples.length);
  }

  /** Whether one hears oneself, a second later. */
  get echoes() {
    return this.#echo !== null;
  }

  /** Play what the microphone hears to the speaker, a second later, or stop that. Nothing of it leaves the computer. */
  async echo(on) {
    await this.#echo?.context.close();
    this.#echo?.sound.pause();
    this.#echo = null;
    if (on && this.#level && !this.#call) {
      const context = new AudioContext();
      const late = new DelayNode(context, { delayTime: ECHO_SECONDS, maxDelayTime: ECHO_SECONDS });
      const played = new MediaStreamAudioDestinationNode(context);
      context.createMediaStreamSource(this.#level.stream).connect(late).connect(played);
      this.#echo = { context, sound: this.#play(played.stream) };
    }
    this.#tell();
  }

  /** How good the way to the switch is, from the connection's own statistics; null when there is no call. `delay` in ms, an estimate
   *  of how late the agent hears what is said here; `loss` 0 to 1, of the packets to here since the last question; `poor` in words. */
  async quality() {
    const call = this.#call;
    const report = await call?.rtc.connection?.getStats();
    if (!report || this.#call !== call) return null;
    const all = [...report.values()];
    const pair = all.find((each) => each.type === "candidate-pair" && each.nominated && each.state === "succeeded");
    const there = all.find((each) => each.type === "remote-inbound-rtp");
    const here = all.find((each) => each.type === "inbound-rtp");
    const trip = there?.roundTripTime ?? pair?.currentRoundTripTime;
    if (trip === undefined || !here) return null;
    const before = call.counted ?? { lost: 0, got: 0 };
    call.counted = { lost: here.packetsLost, got: here.packetsReceived };
    const lost = Math.max(0, call.counted.lost - before.lost);
    const loss = Math.max(lost / (lost + call.counted.got - before.got || 1), there?.fractionLost ?? 0);
    const delay = Math.round(BESIDES_MS + 500 * trip + 1000 * (there?.jitter ?? 0));
    const poor = loss > LOSSY ? "Packets are lost: a cable instead of the radio network helps, or a desk phone."
      : delay > LATE_MS ? "The agent hears you late: speak in the pauses, or take a desk phone." : "";
    return { delay, loss, poor };
  }

  // --- the microphone ---

  async #open() {
    this.#shut();
    if (!navigator.mediaDevices) {
      this.microphone = "insecure";
      return this.#tell();
    }
    this.microphone = "asking";
    this.#tell();
    const { input, filter } = this.settings;
    const want = { echoCancellation: filter, noiseSuppression: filter, autoGainControl: filter, channelCount: 1 };
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: { ...want, ...(input && { deviceId: { ideal: input } }) } });
      if (!this.on) return stream.getTracks().forEach((track) => track.stop());
      const context = new AudioContext();
      const analyser = new AnalyserNode(context, { fftSize: 1024 });
      context.createMediaStreamSource(stream).connect(analyser);
      this.#level = { stream, context, analyser, samples: new Float32Array(analyser.fftSize) };
      this.#sent = stream.clone();
      stream.getTracks()[0].addEventListener("ended", () => {
        this.microphone = "missing"; // unplugged, or forbidden in the middle of it
        this.#tell();
      });
      this.microphone = "ready";
      this.#gate();
    } catch (error) {
      this.microphone = FAILURES[error.name] ?? "taken";
    }
    return this.#tell();
  }

  #shut() {
    this.echo(false);
    for (const stream of [this.#level?.stream, this.#sent]) stream?.getTracks().forEach((track) => track.stop());
    this.#level?.context.close();
    this.#level = this.#sent = null;
  }

  /** The gate at the switch decides; this one only sees to it that nothing leaves the page while nobody is to hear. */
  #gate() {
    const session = this.desk.sessions.get(this.#call?.session);
    const elsewhere = session?.pressed && this.desk.released !== session.id; // in another window of his
    const held = session && (this.desk.pressing?.session === session.id || elsewhere);
    const speaks = this.taken || (session && session.wanted !== "listen" && !session.muted && (session.talk === "open" || held));
    this.#sent?.getAudioTracks().forEach((track) => {
      track.enabled = !!speaks;
    });
    this.desk.tail = this.#call ? TAIL_MS : 0;
  }

  // --- the connection ---

  async #connect() {
    const { default: JsSIP } = await import("./vendor/jssip.js");
    if (this.#socket || !this.on) return;
    const address = new URL("/browser-phone", this.desk.address);
    address.protocol = address.protocol.replace("http", "ws");
    const known = this.#key ? [`resume.${this.#key}`] : [];
    const socket = new WebSocket(address, ["ccwhisper.phone", `bearer.${this.desk.token}`, ...known]);
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => {
      if (this.#socket !== socket) return;
      if (!data.startsWith("{")) return this.#wire?.ondata(data);
      const told = JSON.parse(data);
      if (told.device) this.#greet(JsSIP, told);
      if (told.resume) this.#key = told.resume;
      if (told.registered) this.registered = told.registered;
      this.#tell();
    });
    socket.addEventListener("close", ({ code }) => {
      if (this.#socket !== socket) return;
      if (code === EXPIRED || !this.on) this.#drop();
      else this.#again();
      this.#tell();
    });
  }

  /** The connection is lost, or not to be trusted any more: a new one is made, and the call goes on meanwhile. */
  #again() {
    const socket = this.#socket;
    this.#socket = null;
    this.registered = [];
    socket?.close();
    clearTimeout(this.#retry);
    const pause = RETRIES_MS[Math.min(this.#tries, RETRIES_MS.length - 1)];
    this.#retry = setTimeout(() => this.#connect(), this.#call ? Math.min(pause, BUSY_MS) : pause);
    this.#tries += 1;
  }

  /** The service has said who this page is: the same as before, or another, whose calls are over then. */
  #greet(JsSIP, told) {
    this.#tries = 0;
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
    this.#tries = this.#moved = 0;
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
      peerconnection.addEventListener("track", ({ track }) => this.#hear(track));
      peerconnection.addEventListener("iceconnectionstatechange", () => this.#watch(call, peerconnection));
    });
    rtc.on("icecandidate", ({ ready }) => setTimeout(ready, GATHER_MS));
    for (const event of ["ended", "failed"]) rtc.on(event, () => this.#over(call));
    if (this.#call || !this.#sent || !(await this.#awaited(session))) return rtc.terminate({ status_code: 480 });
    this.#call = call;
    this.echo(false);
    this.#gate();
    return rtc.answer({ mediaStream: this.#sent, pcConfig: { iceServers } });
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

  #hear(track) {
    this.#sound = this.#play(new MediaStream([track]));
  }

  #play(stream) {
    const sound = new Audio();
    sound.srcObject = stream;
    this.#aim(sound);
    sound.play().catch(() => this.#tell());
    return sound;
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
