// Puts the parts together: one store and one connection, one view per `ui-app`.

import { followAddress } from "./address.js";
import { bindElement, bindTree } from "./binding.js";
import { BASE, Connection, sessionId, tookPlace } from "./connection.js";
import { readControl } from "./controls.js";
import { takeFiles } from "./files.js";
import { createNotice } from "./notice.js";
import { createOverlay } from "./overlay.js";
import { createProblems } from "./problems.js";
import { Scope, variablesOf } from "./scope.js";
import { Store, ROOT } from "./store.js";
import { editOf } from "./value.js";
import { View } from "./view.js";
import { Viewdefs } from "./viewdefs.js";

const session = sessionId(location.pathname, document.cookie);
if (!session) location.assign(BASE); // the server starts one and sends us there
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
  store.frameEnds.add(() => viewdefs.refresh());

  const context = { store, viewdefs, bindTree, bindElement, scope: new Scope(), parent: store.root, depth: 0 };
  for (const element of document.querySelectorAll("[ui-app]")) {
    new View(element, store.root, { ...context, namespace: element.getAttribute("ui-namespace") ?? undefined });
  }

  store.handlers.reload = createOverlay(() => store.post("restart", {}));
  store.handlers.restart = () => location.reload();
  store.handlers.files = takeFiles;
  // Most pages never have one.
  store.handlers.problems = (message) => {
    store.handlers.problems = createProblems(store);
    store.handlers.problems(message);
  };

  const tellAddress = followAddress(store, session);
  connection = new Connection(session, {
    open: () => {
      store.resume();
      tellAddress();
    },
    message: (messages) => store.receive(messages),
    state: createNotice(tookPlace(session)),
  });

  // For the site's own scripts.
  Object.assign(window, {
    uiApp: {
      getStore: () => store,
      getBinding: () => ({ viewdefs, variablesOf, editOf }),
      /** @param {string} elementId of a ui-value @param {any} [value] what it shows, if left out */
      updateValue(elementId, value) {
        const element = document.getElementById(elementId);
        const variable = element && variablesOf(element).get("ui-value");
        if (variable) store.update(variable, value === undefined ? readControl(element, variable.value) : value);
      },
    },
  });
}
