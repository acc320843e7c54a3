// ui-value: form controls both ways, everything else as text.

import { variableProperties } from "./paths.js";
import { bindVariable, listen } from "./scope.js";

/** How long (ms) answers to older keys wait while somebody types into a ?keypress field. */
const TYPING_PAUSE = 400;

/**
 * What a person is changing: the draft, if any, to be sent or resumed in the control's successor.
 * @type {WeakMap<Element, {draft(): any, resume(draft: any): void, commit(): void}>}
 */
const edits = new WeakMap();

export const editOf = (control) => edits.get(control);

export const commitEdit = (control) => editOf(control)?.commit();

/** `ui-value="path"`. @type {import("./scope.js").Family} */
export function bindValue(element, text, context) {
  if (isControl(element)) return bindControl(element, text, context);
  bindVariable(context, element, "ui-value", variableProperties(text, { access: "r" }), ({ value }) => {
    if (element.matches("progress, meter")) element.value = Number(value);
    else element.textContent = textOf(value);
  });
}

function bindControl(control, text, context) {
  const properties = variableProperties(text);
  if (properties.path.endsWith("(_)")) properties.access ??= "w"; // a call with the value cannot be read
  const eager = "keypress" in properties;
  let dirty = false; // changed by hand: what the server says meanwhile waits until it is sent
  let timer = 0;
  const show = () => {
    if (!dirty && variable.value !== undefined) showInControl(control, variable.value);
  };
  const send = () => {
    const value = readControl(control, variable.value);
    if (value !== undefined && value !== variable.value) context.store.update(variable, value);
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

  const variable = bindVariable(context, control, "ui-value", properties);
  context.scope.cleanups.push(variable.watch(show), () => clearTimeout(timer));
  show();
  listen(context, control, "input", ({ isComposing }) => {
    dirty = true;
    if (!eager || isComposing) return;
    send();
    clearTimeout(timer);
    timer = setTimeout(settle, TYPING_PAUSE);
  });
  if (eager) listen(context, control, "compositionend", commit);
  listen(context, control, "blur", commit);
  listen(context, control, "change", () => {
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

const isControl = (element) => element.matches("input, textarea, select");

/**
 * The value of a control as Lua should get it; undefined if it has none to give.
 * @param {any} control @param {any} [before] where one picks, what was a number stays one
 */
export function readControl(control, before) {
  const { type, value } = control;
  if (!isControl(control)) return undefined;
  if (type === "checkbox") return control.checked;
  if (type === "radio" && !control.checked) return undefined;
  const number = value === "" ? NaN : Number(value);
  if (type === "number" || type === "range") return Number.isNaN(number) ? null : number;
  const picks = type === "radio" || type === "select-one";
  return picks && typeof before === "number" && !Number.isNaN(number) ? number : value;
}

export function showInControl(control, value) {
  if (control.type === "checkbox") control.checked = Boolean(value);
  else if (control.type === "radio") control.checked = control.value === textOf(value);
  // "1." is 1 already: don't take the point from somebody who is about to type a digit.
  else if (control.type !== "file" && readControl(control, value) !== value) {
    const caret = document.activeElement === control ? control.selectionStart : null;
    control.value = textOf(value);
    if (caret !== null) control.setSelectionRange?.(caret, caret);
  }
}

/** A value as text; an object has none. */
export function textOf(value) {
  if (Array.isArray(value)) return value.map(textOf).join(", ");
  return value === null || typeof value === "object" ? "" : String(value);
}
