// The WebSocket: which session, and staying connected to it.

const FIRST_DELAY = 200;
const LONGEST_DELAY = 8000;

/**
 * The session of this page: the first segment of the path, else the cookie.
 * @param {string} pathname
 * @param {string} cookie `document.cookie`
 * @returns {string | null}
 */
export function sessionId(pathname, cookie) {
  const segment = pathname.split("/")[1] ?? "";
  if (/^[0-9a-f]{32}$/.test(segment)) return segment;
  const match = /(?:^|;\s*)ui-session=([^;]+)/.exec(cookie);
  return match ? match[1] : segment || null;
}

/**
 * How long to wait before the next try: growing, and spread so that a thousand browsers do not
 * all come back in the same millisecond.
 * @param {number} attempt 0 for the first
 * @param {number} [random] 0 to 1
 */
export function retryDelay(attempt, random = Math.random()) {
  return Math.min(LONGEST_DELAY, FIRST_DELAY * 1.7 ** attempt) * (0.6 + 0.8 * random);
}

/**
 * @typedef {"online" | "offline" | "ended"} State
 * @typedef {Object} Listener
 * @property {() => void} open a new socket, which knows nothing of this page
 * @property {(messages: unknown) => void} message
 * @property {(state: State) => void} state
 */

export class Connection {
  /**
   * @param {string} session
   * @param {Listener} listener
   */
  constructor(session, listener) {
    this.session = session;
    this.listener = listener;
    /** @type {WebSocket | null} */
    this.socket = null;
    this.attempt = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    this.ended = false;
    addEventListener("online", () => this.#retryNow());
    addEventListener("pageshow", () => this.#retryNow());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.#retryNow();
    });
    this.#connect();
  }

  /**
   * @param {string} text one frame
   * @returns {boolean} whether there was a socket to take it
   */
  send(text) {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(text);
    return true;
  }

  /** Leaves the present socket and opens a new one. */
  reopen() {
    const old = this.socket;
    this.socket = null;
    old?.close();
    clearTimeout(this.timer);
    this.#connect();
  }

  #connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/ws/${this.session}`);
    this.socket = socket;
    let opened = false;
    socket.onopen = () => {
      if (socket !== this.socket) return;
      opened = true;
      this.attempt = 0;
      this.listener.state("online");
      this.listener.open();
    };
    socket.onmessage = (event) => {
      if (socket !== this.socket) return;
      let messages;
      try {
        messages = JSON.parse(event.data);
      } catch (error) {
        console.error("[ui] a frame that is not JSON", error);
        return;
      }
      this.listener.message(messages);
    };
    socket.onclose = () => {
      if (socket !== this.socket) return;
      this.socket = null;
      this.listener.state("offline");
      this.timer = setTimeout(() => this.#connect(), retryDelay(this.attempt++));
      if (!opened) this.#checkSession();
    };
  }

  #retryNow() {
    if (this.socket || this.ended) return;
    clearTimeout(this.timer);
    this.#connect();
  }

  /** A refused socket does not say why: a page that is gone means that the session is. */
  async #checkSession() {
    try {
      const answer = await fetch(`/${this.session}`, { cache: "no-store" });
      if (answer.status !== 404) return;
    } catch {
      return; // the server is away; keep trying
    }
    this.ended = true;
    clearTimeout(this.timer);
    this.listener.state("ended");
  }
}
