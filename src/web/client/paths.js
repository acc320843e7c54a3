// The text of a ui-* attribute: `path?key=value&flag`.

/**
 * @typedef {Object} ParsedPath
 * @property {string} path what the server resolves
 * @property {Record<string, string>} properties what followed the `?`; a bare flag reads "true"
 */

/**
 * Splits an attribute into the path and the properties of its variable.
 * @param {string} text
 * @returns {ParsedPath}
 */
export function parsePath(text) {
  const cut = text.indexOf("?");
  if (cut < 0) return { path: text.trim(), properties: {} };
  /** @type {Record<string, string>} */
  const properties = {};
  for (const part of text.slice(cut + 1).split("&")) {
    const [key, ...rest] = part.split("=");
    if (key.trim()) properties[key.trim()] = rest.length ? decode(rest.join("=")) : "true";
  }
  return { path: text.slice(0, cut).trim(), properties };
}

/**
 * The properties of a variable, as a `create` message carries them.
 * @param {string} text the attribute
 * @param {Record<string, string | undefined>} [defaults] what holds where the attribute says nothing
 * @returns {Record<string, string>}
 */
export function variableProperties(text, defaults = {}) {
  const { path, properties } = parsePath(text);
  /** @type {Record<string, string>} */
  const all = { path };
  for (const [key, value] of Object.entries(defaults)) if (value !== undefined) all[key] = value;
  return Object.assign(all, properties);
}

/**
 * Whether a path can only be written: a call that is given the written value.
 * @param {string} text
 */
export function isWriteOnly(text) {
  return parsePath(text).path.endsWith("(_)");
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a lone % is meant as it stands
  }
}
