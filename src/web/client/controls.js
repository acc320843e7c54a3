// What a control holds: form controls of HTML, and web components.

import { same, setText, textOf } from "./plain.js";

/** A custom element; whether it has a value shows when it is defined. @param {Element} element */
export const isComponent = (element) => element.localName.includes("-");

/** @param {Element} element */
export const isControl = (element) => element.matches("input, textarea, select") || isComponent(element);

/** Options may come after the value that picks one. @param {Element} element */
export const hasOptions = (element) => isComponent(element) || element.matches("select");

/**
 * Whether it is a checkbox or a switch: some of these have a value as well. A radio button is none.
 * @param {any} control
 */
function isCheckable(control) {
  if (!isComponent(control)) return control.type === "checkbox";
  return "checked" in control && (!("value" in control) || /(checkbox|switch|toggle)$/.test(control.localName));
}

/**
 * Its events of one kind: `change`, and of a component also `sl-change` and the like, with whatever
 * the tag begins with.
 * @param {Element} control @param {string} kind
 */
export function eventNames(control, kind) {
  const words = isComponent(control) ? control.localName.split("-") : [];
  return [kind, ...words.map((_, i) => `${words.slice(0, i + 1).join("-")}-${kind}`)];
}

/**
 * The value of a control as Lua should get it; undefined if it has none to give.
 * @param {any} control @param {any} [before] where one picks, what was a number stays one
 */
export function readControl(control, before) {
  const { type, value } = control;
  if (!isControl(control)) return undefined;
  if (isCheckable(control)) return control.checked;
  if (isComponent(control)) return likeBefore(value, before);
  if (type === "radio" && !control.checked) return undefined;
  if (type === "number" || type === "range") return toNumber(value);
  if (type === "radio" || type === "select-one") return likeBefore(value, before);
  if (type !== "select-multiple") return value;
  return [...control.selectedOptions].map((option) => likeBefore(option.value, [before].flat()[0]));
}

/** @param {any} control @param {any} value */
export function showInControl(control, value) {
  if (isCheckable(control)) control.checked = Boolean(value);
  else if (isComponent(control)) showInComponent(control, value);
  else if (control.type === "radio") control.checked = control.value === textOf(value);
  else if (control.type === "select-multiple") {
    const wanted = new Set([value].flat().map(textOf));
    for (const option of control.options) option.selected = wanted.has(option.value);
  }
  // "1." is 1 already: don't take the point from somebody who is about to type a digit.
  else if (control.type !== "file" && readControl(control, value) !== value) {
    const caret = document.activeElement === control ? control.selectionStart : null;
    control.value = textOf(value);
    if (caret !== null) control.setSelectionRange?.(caret, caret);
  }
}

/** @param {any} component @param {any} value */
function showInComponent(component, value) {
  if ("value" in component) {
    const fitting = Array.isArray(value) ? value : typeof component.value === "number" ? Number(value) : textOf(value);
    if (!same(component.value, fitting)) component.value = fitting;
  } else if (component.matches(":defined") || !component.firstElementChild) {
    setText(component, value); // else it will need what is in it
  }
}

/** @param {string} text */
function toNumber(text) {
  return text === "" || Number.isNaN(Number(text)) ? null : Number(text);
}

/** @param {any} value @param {any} before */
function likeBefore(value, before) {
  return typeof before === "number" && typeof value === "string" ? toNumber(value) ?? value : value;
}
