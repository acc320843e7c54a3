// The WebSocket: which session, and staying connected to it.

/** Below which path the server's addresses stand, with a slash at its end: that of this module is known. */
export const BASE = new URL("..", import.meta.url);

/** The session: the first segment of the path, else the cookie. @param {string} path @param {string} cookie */
export function sessionId(path, cookie, base = BASE.pathname) {
  const [segment] = path.replace(base, "").split("/");
  if (/^[0-9a-f]{32}$/.test(segment)) return segment;
  return /(?:^|;\s*)ui-session=([^;]+)/.exec(cookie)?.[1] ?? segment;
}

/** Milliseconds until the next try: growing, and spread over many browsers. @param {number} attempt from 0 */
export function retryDelay(attempt, random = Math.random()) {
  return Math.min(8000, 200 * 1.7 ** attempt) * (0.6 + 0.8 * random);
}

export class Connection {
  /** @type {WebSocket | undefined} */
  #socket;
  #attempt = 0;
  /** This page has been in its session. */
  #known = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {string} session @param {{open(): void, message(messages: any): void, state(online: boolean): void}} listener */
  constructor(session, listener) {
    this.session = session;
    this.listener = listener;
    addEventListener("online", () => this.#socket || this.reopen());
    // A browser may keep a page that one has left, and its socket with it.
    addEventListener("pagehide", () => this.#leave());
    addEventListener("pageshow", ({ persisted }) => persisted && this.reopen());
    this.reopen();
  }

  /** @param {string} text one frame @returns whether there was a socket to take it */
  send(text) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(text);
    return true;
  }

  reopen() {
    this.#leave();
    const socket = new WebSocket(`${BASE}ws/${this.session}`.replace("http", "ws"));
    this.#socket = socket;
    let opened = false;
    socket.onopen = () => {
      if (socket !== this.#socket) return;
      opened = true;
      this.#attempt = 0;
      this.#known = true;
      this.listener.state(true);
      this.listener.open();
    };
    socket.onmessage = ({ data }) => {
      if (socket === this.#socket) this.listener.message(JSON.parse(data));
    };
    socket.onclose = () => {
      if (socket !== this.#socket) return;
      this.#socket = undefined;
      this.listener.state(false);
      this.#timer = setTimeout(() => this.reopen(), retryDelay(this.#attempt++));
      if (!opened) this.#checkSession();
    };
  }

  #leave() {
    clearTimeout(this.#timer);
    const old = this.#socket;
    this.#socket = undefined;
    old?.close();
  }

  /** A refused socket does not say why. If the page is gone too, the session is. */
  async #checkSession() {
    const page = await fetch(BASE + this.session, { cache: "no-store" }).catch(() => null);
    if (page?.status === 404 && this.#known) beginAnew(location, this.session);
    else if (page && [403, 404].includes(page.status)) location.assign(page.url); // the server says so, and offers a new one
  }
}

/** Where a page notes that its session has ended, for the one that takes its place. */
const ENDED = "ui-session-ended";

/** The session went with the server: another one begins, at the same place of the application. @param {Location} here @param {string} session */
function beginAnew(here, session) {
  const deeper = here.href.split(`/${session}`)[1] ?? "";
  sessionStorage.setItem(ENDED, deeper);
  here.replace(BASE);
}

/**
 * Whether this page took the place of one whose session had ended. Then it goes to where that one was.
 * @param {string} session
 */
export function tookPlace(session) {
  const deeper = sessionStorage.getItem(ENDED);
  if (deeper === null) return false;
  if (deeper.replace(/^\//, "") && location.href === BASE + session) {
    location.replace(BASE + session + deeper);
    return false;
  }
  sessionStorage.removeItem(ENDED);
  return true;
}
