// Plays the tracks of a recording together. Each is an audio element that the browser streams by itself, so a recording
// of hours costs no more than one of minutes; the first of them sets the time, and the others are kept to it.

const LOOK_MS = 200;
const STUCK_MS = 2000; // for which a track has waited for what nobody sends
const AHEAD = 0.25; // seconds off from which a track is set to the time, and not led to it
const CLOSE = 0.012; // seconds off that nobody hears
const STEP_MS = 250; // between jumps of a key that is held: each may be a request for every track
const PASSING = new Set(["ticket_expired", "ticket_invalid", "token_missing", "rate_limited"]); // helped by another ticket, or by waiting
const AGAIN_MS = 10000; // until a ticket is asked for again that could not be had
const SHARE = { caller: -0.35, agent: 0.35, coach: 0 }; // where in the stereo picture they are

/** Lanes: what can be heard alone. The call's two channels are two of them. */
export function lanesOf(content) {
  const lanes = [];
  for (const track of content.tracks) {
    if (track.kind === "call") {
      const agents = [...new Set(content.agents.map((each) => each.name || each.agent))];
      lanes.push({ key: `${track.index}.0`, track: track.index, channel: 0, kind: "caller", name: "Caller" });
      if (track.channels > 1) lanes.push({ key: `${track.index}.1`, track: track.index, channel: 1, kind: "agent", name: agents.join(", ") || "Agent" });
    } else {
      const coach = content.coaches.find((each) => each.session === track.session);
      lanes.push({ key: `${track.index}.0`, track: track.index, channel: 0, kind: "coach", name: coach?.name || track.name, session: track.session });
    }
  }
  return lanes;
}

export class Player extends EventTarget {
  #tracks = [];
  #nodes = new Map();
  #timer = 0;
  #renewal = 0;
  #opening = null;
  #token = null; // whose ticket it is: at its end the page may know him no more
  #closed = false;
  #ready = null;
  #loaded = false;
  #at = 0;
  #next = false; // the time that is wanted is not the one that the tracks were told
  #rest = 0;
  #helped = 0;
  #stuck = 0; // looks in a row

  constructor(api, recording, content) {
    super();
    this.api = api;
    this.recording = recording;
    this.duration = content.duration;
    this.lanes = lanesOf(content).map((lane) => ({ ...lane, volume: 1, muted: false, solo: false }));
    this.speed = 1;
    this.muted = false;
    /** What was asked for; `waiting` while the audio is still on its way. */
    this.playing = false;
    this.waiting = false;
    this.problem = null;
  }

  get time() {
    return this.#sure() ? Math.min(this.#tracks[0].audio.currentTime, this.duration) : this.#at;
  }

  async play() {
    if (this.playing) return;
    if (this.time >= this.duration - 0.05) this.seek(0);
    this.playing = true;
    this.waiting = !this.#loaded;
    this.problem = null;
    this.#tell();
    this.context ??= new AudioContext({ latencyHint: "interactive" });
    const sounding = this.context.resume(); // within the click: later it would be refused
    try {
      this.#ready ??= this.#open();
      await this.#ready;
      await sounding;
      if (this.playing) this.#go();
    } catch (error) {
      this.#ready = null;
      this.#fail(error);
    }
  }

  pause() {
    this.#at = this.time;
    this.playing = this.waiting = false;
    for (const { audio } of this.#tracks) audio.pause();
    this.#tell();
  }

  toggle() {
    return this.playing ? this.pause() : this.play();
  }

  seek(seconds) {
    this.#at = Math.min(Math.max(seconds, 0), this.duration);
    this.#next = this.#loaded;
    if (!this.#rest) this.#jump();
    this.#tell();
  }

  #jump() {
    this.#rest = 0;
    if (!this.#next) return;
    this.#next = false;
    this.#rest = setTimeout(() => this.#jump(), STEP_MS);
    for (const { audio } of this.#tracks) audio.currentTime = this.#at;
    if (this.playing) this.#go();
  }

  setSpeed(speed) {
    this.speed = speed;
    for (const { audio } of this.#tracks) audio.defaultPlaybackRate = audio.playbackRate = speed;
    this.#tell();
  }

  /** Volume, muted or solo of one lane. */
  set(key, change) {
    Object.assign(this.lanes.find((lane) => lane.key === key), change);
    this.#mix();
    this.#tell();
  }

  mute(muted) {
    this.muted = muted;
    this.#mix();
    this.#tell();
  }

  /** Whether a lane can be heard now. */
  heard(lane) {
    const alone = this.lanes.some((each) => each.solo);
    return !this.muted && !lane.muted && (!alone || lane.solo);
  }

  /** How loud a lane is at this moment behind its own volume, 0 to 1. */
  level(key) {
    const node = this.#nodes.get(key);
    if (!node) return 0;
    node.analyser.getFloatTimeDomainData(node.samples);
    let most = 0;
    for (const sample of node.samples) most = Math.max(most, Math.abs(sample));
    return most;
  }

  close() {
    this.playing = this.#loaded = false;
    this.#closed = true;
    this.leave();
    clearInterval(this.#timer);
    clearTimeout(this.#rest);
    clearTimeout(this.#renewal);
    for (const { audio } of this.#tracks) {
      audio.pause();
      audio.removeAttribute("src");
      audio.load();
    }
    this.#tracks = [];
    this.context?.close();
  }

  /** A ticket for the audio: a cookie that came with it, since an audio element cannot send a token. */
  async ticket() {
    this.#token = this.api.token;
    const opened = await this.api.ask("POST", `/recordings/${encodeURIComponent(this.recording)}/media`, { opening: this.#opening });
    this.#opening = opened.opening;
    if (this.#closed) return this.leave();
    const left = opened.expires_at * 1000 - Date.now();
    this.#renew(Math.max(left / 2, AGAIN_MS / 2));
  }

  /** Whoever uses this browser next has no ticket. */
  leave() {
    if (!this.#opening) return;
    fetch(`/api/v1/recordings/${encodeURIComponent(this.recording)}/media`,
      { method: "DELETE", headers: { Authorization: `Bearer ${this.#token}` }, keepalive: true }).catch(() => {});
  }

  /** Half of a ticket's time is left to have another: what cannot be reached now may be then. */
  #renew(soon) {
    clearTimeout(this.#renewal);
    this.#renewal = setTimeout(() => this.ticket().catch((error) => {
      if (this.#closed) return;
      if (error?.retry) this.#renew(AGAIN_MS);
      else this.#fail(error);
    }), soon);
  }

  async #open() {
    await this.ticket();
    const wanted = [...new Set(this.lanes.map((lane) => lane.track))];
    this.#tracks = wanted.map((index) => ({ index, audio: new Audio() }));
    await Promise.all(this.#tracks.map(({ index, audio }) => {
      audio.preload = "auto";
      audio.defaultPlaybackRate = audio.playbackRate = this.speed;
      this.#wire(index, audio);
      audio.src = this.#address(index);
      return new Promise((done, failed) => {
        audio.addEventListener("loadedmetadata", done, { once: true });
        audio.addEventListener("error", () => this.#why(index).then(failed), { once: true });
      });
    }));
    for (const { index, audio } of this.#tracks) {
      audio.currentTime = this.#at; // before, an element has no time but 0
      for (const name of ["waiting", "canplay", "seeked"]) audio.addEventListener(name, () => this.playing && this.#go());
      audio.addEventListener("error", () => this.#why(index).then((error) => this.#fail(error)));
    }
    this.#loaded = true;
    this.#tracks[0].audio.addEventListener("ended", () => this.pause());
    this.#timer = setInterval(() => this.#keep(), LOOK_MS);
    this.#mix();
  }

  #address(index) {
    return `/api/v1/recordings/${encodeURIComponent(this.recording)}/tracks/${index}`;
  }

  #wire(index, audio) {
    const source = this.context.createMediaElementSource(audio);
    const lanes = this.lanes.filter((lane) => lane.track === index);
    const splitter = this.context.createChannelSplitter(2);
    source.connect(splitter);
    for (const lane of lanes) {
      const gain = this.context.createGain();
      const analyser = this.context.createAnalyser();
      const place = this.context.createStereoPanner();
      place.pan.value = SHARE[lane.kind];
      splitter.connect(gain, lane.channel);
      gain.connect(analyser);
      gain.connect(place);
      place.connect(this.context.destination);
      this.#nodes.set(lane.key, { gain, analyser, samples: new Float32Array(analyser.fftSize) });
    }
  }

  #mix() {
    for (const lane of this.lanes) {
      const node = this.#nodes.get(lane.key);
      node?.gain.gain.setTargetAtTime(this.heard(lane) ? lane.volume : 0, this.context.currentTime, 0.01);
    }
  }

  /** Whether the tracks are where they were told to be. */
  #sure() {
    return this.#loaded && !this.#next && this.#tracks.every(({ audio }) => audio.readyState && !audio.seeking && !audio.error);
  }

  /** All of them, or none: when one waits for its audio the others wait with it. */
  #go() {
    const ready = this.#tracks.every(({ audio }) => !audio.seeking && (audio.readyState > 2 || audio.ended));
    if (this.waiting === ready) {
      this.waiting = !ready;
      this.#tell();
    }
    for (const { audio } of this.#tracks) {
      if (!ready) audio.pause();
      else if (audio.paused && !audio.ended) audio.play().catch((error) => error.name !== "AbortError" && this.#fail(error));
    }
  }

  /** Lead the tracks to the first one's time: a little faster or slower, or at once where they are far off. */
  #keep() {
    this.#at = this.time;
    this.#rouse();
    if (!this.playing || this.waiting || !this.#tracks.length) return;
    const [first, ...others] = this.#tracks.map(({ audio }) => audio);
    for (const audio of others) {
      if (audio.ended || audio.seeking) continue;
      const off = audio.currentTime - first.currentTime;
      if (Math.abs(off) > AHEAD) audio.currentTime = first.currentTime;
      else if (Math.abs(off) > CLOSE) audio.playbackRate = this.speed * (1 - Math.max(-0.05, Math.min(0.05, off)));
      else if (audio.playbackRate !== this.speed) audio.playbackRate = this.speed;
    }
  }

  /** With more tracks than a browser has connections (six), Chromium stops loading one that has run dry. Told anew where
   *  it is, it goes on. */
  #rouse() {
    const dry = this.#tracks.filter(({ audio }) => audio.readyState < 3 && audio.networkState === 1 && !audio.seeking && !audio.ended);
    this.#stuck = this.playing && this.waiting && dry.length ? this.#stuck + 1 : 0;
    if (this.#stuck * LOOK_MS < STUCK_MS) return;
    this.#stuck = 0;
    for (const { audio } of dry) audio.currentTime = this.#at;
  }

  /** What the service says of a track that an audio element could not load. */
  async #why(index) {
    const plain = { code: "audio_broken", message: "The audio cannot be played.", retry: true };
    try {
      const response = await fetch(this.#address(index), { headers: { Range: "bytes=0-0" } });
      return response.ok ? plain : ((await response.json()).error ?? plain);
    } catch {
      return { code: "unreachable", message: "The service cannot be reached.", retry: true };
    }
  }

  #fail(error) {
    const soon = performance.now() - this.#helped < 5000;
    if (!this.#loaded || !PASSING.has(error?.code)) this.#stop(error);
    else if (!soon) { // the page slept, say
      this.#helped = performance.now();
      setTimeout(() => this.ticket().then(() => {
        for (const { audio } of this.#tracks) audio.load();
        this.seek(this.#at);
      }).catch((again) => this.#stop(again)), error.code === "rate_limited" ? 1000 : 0);
    }
  }

  #stop(error) {
    this.problem = error?.message ?? String(error);
    this.pause();
  }

  #tell() {
    this.dispatchEvent(new Event("news"));
  }
}
