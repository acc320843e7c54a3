// ui-value: form controls both ways, everything else as text.

import { variableProperties } from "./paths.js";
import { bindVariable, listen } from "./scope.js";

/** While somebody types into a ?keypress field, answers to older keys wait this long (ms). */
const TYPING_PAUSE = 400;

/**
 * What a person is changing in a control.
 * @typedef {Object} Edit
 * @property {() => any} draft what is not sent yet; undefined if there is nothing
 * @property {(draft: any) => void} resume takes it over from the control this one replaces
 * @property {() => void} commit sends it
 */

/** @type {WeakMap<Element, Edit>} */
const edits = new WeakMap();

/** @param {Element} control */
export const editOf = (control) => edits.get(control);

/** @param {Element} control whose draft, if there is one, is sent now */
export const commitEdit = (control) => editOf(control)?.commit();

/** `ui-value="path"`. @type {import("./scope.js").Family} */
export function bindValue(element, text, context) {
  if (isControl(element)) return bindControl(element, text, context);
  const property = /^(PROGRESS|METER)$/.test(element.tagName) ? "value" : "textContent";
  bindVariable(context, element, "ui-value", variableProperties(text, { access: "r" }), ({ value }) => {
    element[property] = property === "value" ? Number(value) : textOf(value);
  });
}

/** @param {any} control @param {string} text @param {import("./scope.js").Context} context */
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

/** @param {Element} element */
const isControl = (element) => element.matches("input, textarea, select");

/**
 * The value of a control as Lua should get it; undefined if it has none to give.
 * @param {any} control
 * @param {any} [before] the present value: where one picks, what was a number stays one
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

/** @param {any} control @param {any} value */
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

/** A value as text. Objects have none: the path has to name a field. @param {any} value @returns {string} */
export function textOf(value) {
  if (Array.isArray(value)) return value.map(textOf).join(", ");
  return value === null || typeof value === "object" ? "" : String(value);
}
