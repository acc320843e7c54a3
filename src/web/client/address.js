// The page's address below the session's own, and its title: what the server says of variable 1 is shown there,
// and where a person goes back or forward is told.

import { BASE } from "./connection.js";
import { ROOT } from "./store.js";

/** @param {import("./store.js").Store} store @param {string} session */
export function followAddress(store, session) {
  const own = `${BASE.pathname}${session}`;
  const { root } = store;
  const ownTitle = document.title;
  let known = here();
  let title = "";

  /** Path and query, or nothing where a page of the site is elsewhere. */
  function here() {
    const { pathname, search } = location;
    return pathname === own || pathname.startsWith(`${own}/`) ? (pathname.slice(own.length) || "/") + search : undefined;
  }
  const tell = () => store.post("update", { varId: ROOT, properties: { url: known } }, true);

  root.watch(() => {
    const { url } = root.properties;
    if (root.properties.title !== title) {
      title = root.properties.title ?? "";
      document.title = title || ownTitle;
    }
    if (url === undefined || url === known) return;
    const { pathname, search } = new URL(own + (url === "/" ? "" : url), location.origin);
    if (pathname !== own && !pathname.startsWith(`${own}/`)) return; // ".." led out of the session
    known = url;
    if (pathname + search !== location.pathname + location.search) history.pushState(null, "", pathname + search);
  });
  addEventListener("popstate", () => {
    const url = here();
    if (url === undefined || url === known) return; // another #fragment
    known = url;
    root.properties = { ...root.properties, url };
    tell();
  });
  /** For a new socket: where the person has gone while there was none. */
  return () => {
    if (root.unsent) tell();
    root.unsent = false;
  };
}
