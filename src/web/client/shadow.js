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

/** @param {string} tag or `tag.class` @param {...(Node | string)} children */
export function make(tag, ...children) {
  const [name, kind] = tag.split(".");
  const element = document.createElement(name);
  if (kind) element.className = kind;
  element.append(...children);
  return element;
}
