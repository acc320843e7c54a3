// What a bound attribute must not hold: code comes from templates, never as data.

/** Attributes that lead somewhere; the last four are how SVG's animations set one. */
const LEADS = /^(xlink:)?(href|src|action|formaction|data|to|from|by|values)$/;
/** SVG in a frame runs scripts, as a picture it does not: pictures are allowed. */
const RUNS = /(^|;)((java|vb)script:|data:(?!image\/(?!svg)|audio|video|font))/i;

/** @param {Element} element @param {string} name @param {string} text */
export function isCode(element, name, text) {
  // Browsers pass over white space and control characters, before a scheme and within.
  return /^on|^srcdoc$/.test(name)
    || LEADS.test(name) && element.localName !== "img" && RUNS.test(text.replace(/[\0-\x20\x7f-\xa0]/g, ""));
}

/** Markup that comes as data. @param {any} holder in which nothing runs @param {string} html */
export function fill(holder, html) {
  holder.innerHTML = html;
  const root = holder.content ?? holder;
  for (const element of root.querySelectorAll("*")) {
    for (const { name, value } of [...element.attributes]) {
      if (isCode(element, name, value)) element.removeAttribute(name);
    }
  }
  return root.childNodes;
}
