// Lets the variables of a list change places.
//
// A list's items are numbered by place: the server keeps one variable for the first, one for the
// second. Here a variable goes with the object it shows, and so with the elements of the page. When
// the list is sorted, the variables trade what the server knows them by: their ids, and their
// children's. What the server then says of a place reaches who stands there now.

/** @typedef {import("./variable.js").Variable} Variable */

/**
 * What belongs to a place and not to who stands there.
 * @typedef {{id: number, initial: Record<string, any>, state: import("./variable.js").State, children: [string, Place][]}} Place
 */

/** @param {Variable} variable @returns {Place} */
function placeOf(variable) {
  const { id, initial, value, properties, error, arriving, children } = variable;
  const state = arriving ?? { value, properties, error };
  return { id, initial, state, children: [...children].map((child) => [child.key, placeOf(child)]) };
}

/**
 * @param {Variable[]} before as they stand @param {Variable[]} after as they shall stand
 * @param {import("./store.js").Store} store
 */
export function changePlaces(before, after, store) {
  const moved = [...before.keys()].filter((i) => after[i] !== before[i]);
  const places = moved.map((i) => placeOf(before[i])); // all of them, before one is taken
  moved.forEach((i, n) => take(after[i], places[n], store));
}

/** @param {Variable} variable @param {Place} place @param {import("./store.js").Store} store */
function take(variable, place, store) {
  store.settle(variable, place);
  const free = [...place.children];
  for (const child of variable.children) {
    const at = free.findIndex(([key]) => key === child.key);
    if (at < 0) store.renew(child); // there is no such thing at that place
    else take(child, free.splice(at, 1)[0][1], store);
  }
  for (const [, { id }] of free) store.abandon(id);
}
