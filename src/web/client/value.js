// ui-value: controls both ways, everything else as text.

import { eventNames, hasOptions, isComponent, isControl, readControl, showInControl } from "./controls.js";
import { variableProperties } from "./paths.js";
import { same, setText } from "./plain.js";
import { bindVariable, listen } from "./scope.js";

/** How long (ms) answers to older keys wait while somebody types into a ?keypress field. */
const TYPING_PAUSE = 400;

/**
 * What a person is changing: the draft, if any, to be sent or resumed in the control's successor.
 * @typedef {{draft(): any, resume(draft: any): void, commit(): void}} Edit
 * @type {WeakMap<Element, Edit>}
 */
const edits = new WeakMap();

/** @param {Element} control */
export const editOf = (control) => edits.get(control);

/** `ui-value="path"`. @type {import("./scope.js").Family} */
export function bindValue(element, text, context) {
  if (isControl(element)) return bindControl(element, text, context);
  bindVariable(context, element, "ui-value", variableProperties(text, { access: "r" }), ({ value }) => {
    if (element.matches("progress, meter")) element.value = Number(value);
    else setText(element, value);
  });
}

/** @param {any} control @param {string} text @param {import("./scope.js").Context} context */
function bindControl(control, text, context) {
  const { store, scope } = context;
  const properties = variableProperties(text);
  if (properties.path.endsWith("(_)")) properties.access ??= "w"; // a call with the value cannot be read
  const eager = "keypress" in properties;
  let dirty = false; // changed by hand: what the server says meanwhile waits until it is sent
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const show = () => {
    if (!dirty && variable.value !== undefined) showInControl(control, variable.value);
  };
  const send = () => {
    const value = readControl(control, variable.value);
    // A call may be made with the same value again.
    const old = same(value, variable.value) && (eager || properties.access !== "w");
    if (value !== undefined && !old) store.update(variable, value);
  };
  const settle = () => {
    clearTimeout(timer);
    dirty = false;
    show();
  };
  const commit = () => {
    if (dirty) send();
    settle();
  };
  /** @param {string} kind @param {(event: any) => void} listener */
  const on = (kind, listener) => {
    for (const name of eventNames(control, kind)) {
      // Not what bubbles up from within.
      listen(context, control, name, (event) => event.target === control && listener(event));
    }
  };

  const variable = bindVariable(context, control, "ui-value", properties);
  scope.cleanups.push(variable.watch(show), () => clearTimeout(timer));
  if (isComponent(control)) customElements.whenDefined(control.localName).then(show); // its script may come later
  show();
  if (hasOptions(control)) {
    store.frameEnds.add(show);
    scope.cleanups.push(() => store.frameEnds.delete(show));
  }
  on("input", ({ isComposing }) => {
    dirty = true;
    if (!eager || isComposing) return;
    send();
    clearTimeout(timer);
    timer = setTimeout(settle, TYPING_PAUSE);
  });
  if (eager) on("compositionend", commit);
  on("blur", commit);
  on("change", () => {
    dirty = true;
    commit();
  });
  edits.set(control, {
    draft: () => (dirty ? readControl(control) : undefined),
    resume(draft) {
      showInControl(control, draft);
      dirty = true;
    },
    commit,
  });
}
