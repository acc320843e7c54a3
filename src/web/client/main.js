// Puts the parts together: one store and one connection, one view per `ui-app`.

import { bindTree } from "./binding.js";
import { Connection, sessionId } from "./connection.js";
import { createNotice } from "./notice.js";
import { createOverlay } from "./overlay.js";
import { Scope, variablesOf } from "./scope.js";
import { Store, ROOT } from "./store.js";
import { commitEdit, readControl } from "./value.js";
import { View } from "./view.js";
import { Viewdefs } from "./viewdefs.js";

const session = sessionId(location.pathname, document.cookie);
if (!session) location.assign("/"); // the server starts one and sends us there
else start(session);

function start(session) {
  let connection;
  const store = new Store((text) => connection.send(text));
  const viewdefs = new Viewdefs((description) => {
    console.warn(`[ui] ${description}`);
    store.post("error", { varId: ROOT, code: "bad-message", description });
  });
  store.onViewdefs = (text) => viewdefs.receive(text);
  store.onFrameEnd = () => viewdefs.refresh();

  const context = { store, viewdefs, bindTree, scope: new Scope(), parentId: ROOT, depth: 0 };
  for (const element of document.querySelectorAll("[ui-app]")) {
    new View(element, store.root, { ...context, namespace: element.getAttribute("ui-namespace") ?? undefined });
  }

  store.handlers.reload = createOverlay();
  store.handlers.restart = () => location.reload();

  connection = new Connection(session, {
    open: () => store.resume(),
    message: (messages) => store.receive(messages),
    state: createNotice(),
  });

  // For the site's own scripts.
  window.uiApp = {
    getStore: () => store,
    getBinding: () => ({ viewdefs, variablesOf, commitEdit }),
    /** @param {string} elementId of a ui-value @param {any} [value] what it shows, if left out */
    updateValue(elementId, value) {
      const element = document.getElementById(elementId);
      const variable = variablesOf(element).get("ui-value");
      if (!variable) throw new Error(`no element #${elementId} with a ui-value`);
      store.update(variable, value === undefined ? readControl(element, variable.value) : value);
    },
  };
}
