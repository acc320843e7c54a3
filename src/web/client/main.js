// Puts the parts together: one store and one connection, one view per `ui-app`.

import { bindTree } from "./binding.js";
import { Connection, sessionId } from "./connection.js";
import { createNotice } from "./notice.js";
import { createOverlay } from "./overlay.js";
import { Scope, variablesOf } from "./scope.js";
import { Store, ROOT } from "./store.js";
import { commitEdit, readControl, showInControl } from "./value.js";
import { View } from "./view.js";
import { Viewdefs } from "./viewdefs.js";

const session = sessionId(location.pathname, document.cookie);
if (!session) location.assign("/"); // the server starts one and sends us there
else start(session);

/** @param {string} session */
function start(session) {
  /** @type {Connection} */
  let connection;
  const store = new Store((text) => connection.send(text));
  const viewdefs = new Viewdefs((description) => {
    console.warn(`[ui] ${description}`);
    store.post("error", { varId: ROOT, code: "bad-message", description });
  });
  store.onViewdefs = (text) => viewdefs.receive(text);
  store.onFrameEnd = () => viewdefs.refresh();

  const scope = new Scope();
  const context = { store, viewdefs, bindTree, scope, parentId: ROOT, depth: 0 };
  const views = [...document.querySelectorAll("[ui-app]")].map((element) => {
    const namespace = element.getAttribute("ui-namespace") ?? undefined;
    return new View(element, store.root, { ...context, namespace });
  });

  store.handlers.reload = createOverlay();
  store.handlers.restart = () => {
    // The old page stays to be seen until the new state arrives on a socket of its own.
    views.forEach((view) => view.forget());
    store.reset();
    viewdefs.clear();
    connection.reopen();
  };

  connection = new Connection(session, {
    open: () => store.resume(),
    message: (messages) => store.receive(messages),
    state: createNotice(),
  });

  /** For the site's own scripts, and for the console. */
  /** @type {any} */ (window).uiApp = {
    getStore: () => store,
    getBinding: () => ({ viewdefs, views, variablesOf, commitEdit }),
    /**
     * Writes the variable bound to an element with `ui-value`.
     * @param {string} elementId
     * @param {any} [value] what the control shows, if left out
     */
    updateValue(elementId, value) {
      const element = document.getElementById(elementId);
      const variable = element && variablesOf(element).get("ui-value");
      if (!element || !variable) throw new Error(`no ui-value on an element with the id ${elementId}`);
      if (value !== undefined) showInControl(element, value);
      store.update(variable, value === undefined ? readControl(element, variable.value) : value);
    },
  };
}
