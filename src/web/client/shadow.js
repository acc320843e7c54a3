// Elements of our own on the page: its styles and the site's do not meet.

/** @param {string} name of the host @param {string} css @param {Element} content */
export function addToPage(name, css, content) {
  const host = document.createElement(name);
  const root = host.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet(); // a <style> would be stopped by a strict CSP
  sheet.replaceSync(css);
  root.adoptedStyleSheets = [sheet];
  root.append(content);
  document.body.append(host);
}

/** @param {string} tag @param {object} attributes @param {...(Node | string)} children */
export function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}
