// The computer's microphone: a meter hears it before anything is muted, the call has tracks of its own.

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

function stop(stream) {
  stream?.getTracks().forEach((track) => track.stop());
}

export class Microphone {
  #level = null;
  #turn = 0;

  /** `changed` is called whenever `state`, one of `MICROPHONE`, is another. */
  constructor(changed) {
    this.changed = changed;
    this.state = "off";
    /** what a call is given: closed while nobody is to hear it */
    this.sent = null;
    document.addEventListener("visibilitychange", () => this.#level?.context[document.hidden ? "suspend" : "resume"]()); // nobody sees the meter
  }

  /** What it hears, muted or not. */
  get stream() {
    return this.#level?.stream;
  }

  /** Open it, or another in its place, by the browser's id: {input}; {filter}: whether echo and noise are taken out. Of
   *  several that are asked for before the first is there, only the last is opened. */
  async open({ input, filter }) {
    this.shut();
    const turn = this.#turn;
    if (!navigator.mediaDevices) return this.#be("insecure");
    this.#be("asking");
    const want = { echoCancellation: filter, noiseSuppression: filter, autoGainControl: filter, channelCount: 1 };
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: { ...want, ...(input && { deviceId: { ideal: input } }) } });
      if (turn !== this.#turn) return stop(stream);
      const context = new AudioContext({ sinkId: { type: "none" } }); // no loudspeaker is kept open for a meter
      const analyser = new AnalyserNode(context, { fftSize: 1024 });
      context.createMediaStreamSource(stream).connect(analyser);
      this.#level = { stream, context, analyser, samples: new Float32Array(analyser.fftSize) };
      this.sent = stream.clone();
      stream.getTracks()[0].addEventListener("ended", () => turn === this.#turn && this.#be("missing")); // unplugged, or forbidden in the middle of it
      return this.#be("ready");
    } catch (error) {
      return turn === this.#turn && this.#be(FAILURES[error.name] ?? "taken");
    }
  }

  shut() {
    this.#turn += 1;
    stop(this.stream);
    stop(this.sent);
    this.#level?.context.close();
    this.#level = this.sent = null;
    this.state = "off";
  }

  /** The user has touched the page: before that, some browsers measure nothing. */
  wake() {
    if (this.#level?.context.state === "suspended") this.#level.context.resume();
  }

  /** Its level in dBFS, now. */
  level() {
    if (!this.#level) return -Infinity;
    const { analyser, samples } = this.#level;
    analyser.getFloatTimeDomainData(samples);
    return 10 * Math.log10(samples.reduce((sum, each) => sum + each * each, 0) / samples.length);
  }

  /** Whether the call is given what it hears. */
  let(through) {
    this.sent?.getAudioTracks().forEach((track) => {
      track.enabled = through;
    });
  }

  #be(state) {
    this.state = state;
    this.changed();
  }
}
