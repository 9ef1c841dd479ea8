// The HTTP API, for pages that ask and are not told. docs/api.md describes it.

const PREFIX = "/api/v1";

export class Api extends EventTarget {
  constructor() {
    super();
    /** signed-out, connecting, live, refused */
    this.status = "signed-out";
    this.refusal = null;
    this.me = null;
  }

  async connect(token) {
    this.token = token;
    this.status = "connecting";
    this.refusal = null;
    this.#tell();
    try {
      this.me = await this.ask("GET", "/me");
      this.status = "live";
    } catch (error) {
      if (this.status !== "refused") this.signOut(error);
    }
    this.#tell();
  }

  /** Forget the token; `refusal` says why. One that may be good all the same is there for the next try. */
  signOut(refusal = null) {
    if (!refusal?.retry) sessionStorage.removeItem("ccwhisper.token");
    this.token = this.me = null;
    this.refusal = refusal;
    this.status = refusal ? "refused" : "signed-out";
    this.#tell();
  }

  may(permission) {
    return !!this.me?.permissions.includes(permission);
  }

  /** The answer's data; rejects with {code, message, retry, field}. */
  async ask(method, path, body, signal) {
    const response = await this.#send(method, path, body, signal);
    try {
      return await response.json();
    } catch (error) {
      if (signal?.aborted) throw error;
      throw { code: "broken_off", message: "The answer broke off. Try again.", retry: true }; // a page that is left, say
    }
  }

  /** What an address answers, as it is. */
  async bytes(path) {
    return (await this.#send("GET", path)).arrayBuffer();
  }

  /** Save what an address answers as a file. */
  async download(path) {
    const response = await this.#send("GET", path);
    let content;
    try {
      content = await response.blob();
    } catch {
      throw { code: "broken_off", message: "The export broke off: nothing was saved. Try again.", retry: true };
    }
    const link = document.createElement("a");
    link.href = URL.createObjectURL(content);
    link.download = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "")?.[1] ?? "export";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }

  async #send(method, path, body, signal) {
    const headers = { Authorization: `Bearer ${this.token}` };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let response;
    try {
      response = await fetch(PREFIX + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw { code: "unreachable", message: "The service cannot be reached.", retry: true };
    }
    if (response.ok) return response;
    const { error } = await response.json().catch(() => ({ error: { code: "unreadable", message: "The service cannot be understood.", retry: true } }));
    if (response.status === 401) this.signOut(error);
    throw error;
  }

  #tell() {
    this.dispatchEvent(new Event("news"));
  }
}
