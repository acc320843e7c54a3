// ui-value: form controls both ways, everything else as text.

import { isWriteOnly, variableProperties } from "./paths.js";
import { bindVariable, listen } from "./scope.js";

/** @typedef {import("./scope.js").Context} Context */

/** While somebody types into a ?keypress field, answers to older keys are held this long (ms). */
const TYPING_PAUSE = 400;

/**
 * What a person is changing in a control and has not been sent yet.
 * @typedef {Object} Edit
 * @property {() => boolean} pending
 * @property {() => void} commit sends it
 * @property {(draft: any) => void} resume takes it over from the control this one replaces
 */

/** @type {WeakMap<Element, Edit>} */
const edits = new WeakMap();

/** @param {Element} control @returns {Edit | undefined} */
export function editOf(control) {
  return edits.get(control);
}

/**
 * Sends what is being typed in `control`, if there is anything.
 * @param {Element} control
 */
export function commitEdit(control) {
  edits.get(control)?.commit();
}

/**
 * `ui-value="path"`.
 * @param {HTMLElement} element
 * @param {string} text
 * @param {Context} context
 */
export function bindValue(element, text, context) {
  if (isControl(element)) bindControl(element, text, context);
  else {
    bindVariable(context, element, "ui-value", variableProperties(text, { access: "r" }), (value) => {
      if (element instanceof HTMLProgressElement || element instanceof HTMLMeterElement) {
        element.value = Number(value) || 0;
      } else {
        element.textContent = textOf(value);
      }
    });
  }
}

/** @param {any} control @param {string} text @param {Context} context */
function bindControl(control, text, context) {
  const access = isWriteOnly(text) ? "w" : undefined;
  const properties = variableProperties(text, { access });
  const eager = "keypress" in properties;
  let dirty = false; // changed by hand since it was last sent or shown
  let held = false; // a value came meanwhile, and waits
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let pause;

  const show = () => {
    held = false;
    if (variable.value !== undefined) showInControl(control, variable.value);
  };
  const variable = bindVariable(context, control, "ui-value", properties, (value) => {
    if (dirty) held = true;
    else showInControl(control, value);
  });
  const settle = () => {
    clearTimeout(pause);
    dirty = false;
    if (held) show();
  };
  const send = () => {
    const value = readControl(control, variable.value);
    // An unpicked radio button has nothing to say.
    if (value === undefined || value === variable.value) return;
    held = false; // what waited is older than this
    context.store.update(variable, value);
  };
  const commit = () => {
    if (dirty) send();
    settle();
  };

  listen(context, control, "input", (event) => {
    dirty = true;
    if (!eager || event.isComposing) return;
    send();
    clearTimeout(pause);
    pause = setTimeout(settle, TYPING_PAUSE);
  });
  if (eager) listen(context, control, "compositionend", send);
  listen(context, control, "change", () => {
    dirty = true;
    commit();
  });
  listen(context, control, "blur", commit);
  context.scope.add(() => clearTimeout(pause));
  edits.set(control, {
    pending: () => dirty,
    commit,
    resume(draft) {
      showInControl(control, draft);
      dirty = true;
    },
  });
}

/** @param {Element} element */
export function isControl(element) {
  return element instanceof HTMLInputElement
    || element instanceof HTMLTextAreaElement
    || element instanceof HTMLSelectElement;
}

/**
 * The value of a control as Lua should get it; undefined if it has none to give.
 * @param {any} control
 * @param {any} [before] the present value: what was a number stays one
 */
export function readControl(control, before) {
  if (!isControl(control)) return undefined;
  if (control.type === "checkbox") return control.checked;
  if (control.type === "radio" && !control.checked) return undefined;
  if (control.type === "number" || control.type === "range") {
    return Number.isNaN(control.valueAsNumber) ? null : control.valueAsNumber;
  }
  const picks = control.type === "radio" || control instanceof HTMLSelectElement;
  const number = Number(control.value);
  return picks && typeof before === "number" && control.value && !Number.isNaN(number) ? number : control.value;
}

/**
 * @param {any} control
 * @param {any} value
 */
export function showInControl(control, value) {
  if (control.type === "checkbox") control.checked = Boolean(value);
  else if (control.type === "radio") control.checked = control.value === textOf(value);
  else if (control.type !== "file" && control.value !== textOf(value)) {
    const caret = document.activeElement === control ? control.selectionStart : null;
    control.value = textOf(value);
    if (caret !== null && caret !== undefined) control.setSelectionRange(caret, caret);
  }
}

/**
 * A value as text. Objects have none: name the field to be shown.
 * @param {any} value
 * @returns {string}
 */
export function textOf(value) {
  if (value === null || value === undefined) return "";
  if (Array.isArray(value)) return value.map(textOf).join(", ");
  return typeof value === "object" ? "" : String(value);
}
