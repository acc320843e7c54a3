// Values of the protocol: whether two are the same, and what one is as text.

/** @param {any} a @param {any} b */
export function same(a, b) {
  const objects = a && b && typeof a === "object" && typeof b === "object";
  return a === b || (objects && JSON.stringify(a) === JSON.stringify(b));
}

/** Touches the page only if it has to: a selection in the text stays. @param {Element} element @param {any} value */
export function setText(element, value) {
  const text = textOf(value);
  if (element.textContent !== text) element.textContent = text;
}

/** An object has none. @param {any} value @returns {string} */
export function textOf(value) {
  if (Array.isArray(value)) return value.map(textOf).join(", ");
  return typeof (value ?? {}) === "object" ? "" : String(value);
}
