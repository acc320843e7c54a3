// Which item of a list comes where.

/**
 * @param {string[]} before the keys as they stand @param {string[]} after the keys as they shall stand
 * @returns {number[]} by place: the index in `before` of who comes there, `before.length` and above for
 *   newcomers; those beyond `after.length` are to go
 */
export function arrange(before, after) {
  /** @type {Map<string, number[]>} */
  const waiting = new Map();
  /** @type {(number | undefined)[]} */
  const places = after.map((key, i) => (before[i] === key ? i : undefined));
  before.forEach((key, i) => {
    if (key !== after[i]) waiting.set(key, [...(waiting.get(key) ?? []), i]);
  });
  after.forEach((key, i) => (places[i] ??= waiting.get(key)?.shift()));
  const left = new Set([...waiting.values()].flat());
  let next = before.length;
  // A new object where an old one has left takes over its element: it may be the same row, computed
  // anew. Elsewhere, what a person did to the old one (opened it, say) must not be seen at the new one.
  const taken = places.map((place, i) => place ?? (left.delete(i) ? i : next++));
  return [...taken, ...left];
}
