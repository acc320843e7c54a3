// The variables of this page: what the server sent, who wants to know, and what goes out.

/** The application's variable, which is there from the start. */
export const ROOT = 1;

export class Variable {
  /** @param {number} id @param {number} parentId @param {object} initial as sent with `create` */
  constructor(id, parentId, initial) {
    this.id = id;
    this.parentId = parentId;
    this.initial = initial;
    this.properties = { ...initial };
    /** `undefined` until the server has sent one. */
    this.value = undefined;
    this.error = null; // {code, description, frame}
    this.watchers = new Set();
    this.unsent = false; // written while offline
  }

  /** @param {() => void} watcher @returns {() => void} ends it */
  watch(watcher) {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }

  notify() {
    for (const watcher of [...this.watchers]) {
      try {
        watcher();
      } catch (error) {
        console.error("[ui] a binding failed", error); // the others still get their values
      }
    }
  }
}

export class Store {
  onViewdefs = (_json) => {};
  onFrameEnd = () => {};
  handlers = {}; // by type: for messages that are not about a variable
  #nextId = 2;
  #frame = 0;
  #flushing = false;
  #userEvent = false;
  #outgoing = [];
  #released = new Map(); // given up in this microtask, by poolKey

  /** @param {(text: string) => boolean} transmit sends a frame; false when offline */
  constructor(transmit) {
    this.transmit = transmit;
    this.root = new Variable(ROOT, 0, {});
    this.variables = new Map([[ROOT, this.root]]);
  }

  /**
   * A new variable, or one like it released in this microtask: so a re-render keeps its own.
   * @param {number} parentId @param {object} properties
   */
  create(parentId, properties) {
    const again = this.#released.get(poolKey(parentId, properties))?.pop();
    if (again) return again;
    const variable = new Variable(this.#nextId++, parentId, properties);
    this.variables.set(variable.id, variable);
    this.#announce(variable);
    return variable;
  }

  /** Destroys a variable, unless somebody takes it up again in this microtask. @param {Variable} variable */
  release(variable) {
    if (this.variables.get(variable.id) !== variable) return;
    const key = poolKey(variable.parentId, variable.initial);
    this.#released.set(key, [...(this.#released.get(key) ?? []), variable]);
    this.#schedule();
  }

  /** Writes what a person has done. @param {Variable} variable @param {any} value */
  update(variable, value) {
    if (variable.properties.access !== "action") variable.value = value;
    variable.error = null; // if it fails again, the server says so again
    this.#userEvent = true;
    this.post("update", { varId: variable.id, value });
    variable.notify();
  }

  /** Sends a message, with the others of this microtask. @param {string} type @param {any} data */
  post(type, data) {
    this.#outgoing.push({ type, data });
    this.#schedule();
  }

  /** Takes in one frame of the server. @param {any} messages */
  receive(messages) {
    this.#frame++;
    for (const { type, data = {} } of [messages].flat()) {
      const variable = this.variables.get(data.varId);
      if (type === "update" && variable) this.#updated(variable, data);
      else if (type === "error") {
        console.warn(`[ui] ${data.code}: ${data.description}`, variable?.initial.path ?? "");
        if (!variable) continue;
        variable.error = { ...data, frame: this.#frame };
        variable.notify();
      } else if (type === "destroy") {
        if (!variable || variable === this.root) continue;
        this.variables.delete(variable.id);
        variable.value = null;
        variable.notify();
      } else {
        this.handlers[type]?.(data);
      }
    }
    this.onFrameEnd();
  }

  /** A new socket knows nothing: tells it all there is, parents (lower ids) first. */
  resume() {
    this.#takeReleased();
    this.#outgoing = [];
    this.post("watch", { varId: ROOT });
    const [, ...variables] = this.variables.values();
    for (const variable of variables) this.#announce(variable);
    for (const variable of variables.filter(({ unsent }) => unsent)) {
      variable.unsent = false;
      this.update(variable, variable.value);
    }
  }

  #announce({ id, parentId, initial: properties }) {
    this.post("create", { id, parentId, properties });
  }

  #updated(variable, data) {
    for (const [name, value] of Object.entries(data.properties ?? {})) {
      const key = name.replace(/:(high|med|low)$/, "");
      if (variable === this.root && key === "viewdefs") this.onViewdefs(value);
      else variable.properties[key] = value ?? undefined;
    }
    if ("value" in data) variable.value = data.value;
    // A failed path comes as an error and a null, in either order: that null is no recovery.
    if (variable.error?.frame !== this.#frame) variable.error = null;
    variable.notify();
  }

  #schedule() {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      const destroys = this.#takeReleased().map((varId) => ({ type: "destroy", data: { varId } }));
      const batch = { userEvent: this.#userEvent, messages: [...this.#outgoing, ...destroys] };
      this.#outgoing = [];
      this.#userEvent = false;
      if (!batch.messages.length || this.transmit(JSON.stringify(batch))) return;
      // Offline. Creates come with `resume`; what was typed is kept; a late click would surprise.
      for (const { type, data } of batch.messages) {
        const variable = this.variables.get(data.varId);
        if (variable && type === "update") variable.unsent = variable.properties.access !== "action";
      }
    });
  }

  /** Removes what nobody took up again. @returns the topmost ids: the server does those below */
  #takeReleased() {
    const gone = [...this.#released.values()].flat();
    this.#released.clear();
    for (const { id } of gone) this.variables.delete(id);
    return gone.filter(({ parentId }) => this.variables.has(parentId)).map(({ id }) => id);
  }
}

function poolKey(parentId, properties) {
  return parentId + JSON.stringify(properties);
}
