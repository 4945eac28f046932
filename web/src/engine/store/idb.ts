/** IndexedDB with promises: just what the store needs of it. */

/** A request or a transaction that failed, with the browser's reason. */
function failed(reason: DOMException | null): Error {
  return reason ?? new Error("the database was closed");
}

export function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(failed(request.error));
  });
}

/** Tables of one version, by name: the path of their key. */
export type Tables = Readonly<Record<string, string | string[]>>;

/** `onClosed`: the browser took it away, or a newer version needs it; it can be opened again. */
export function openDatabase(name: string, tables: Tables, onClosed: () => void): Promise<IDBDatabase> {
  const opening = indexedDB.open(name, 1);
  opening.onupgradeneeded = () => {
    for (const [table, keyPath] of Object.entries(tables)) opening.result.createObjectStore(table, { keyPath });
  };
  return done(opening).then((db) => {
    db.onclose = onClosed;
    // A newer version of the client, in another tab, is not kept waiting.
    db.onversionchange = () => {
      db.close();
      onClosed();
    };
    return db;
  });
}

/** Runs `work` in one transaction; resolves when it is kept, rejects when nothing of it is. */
export async function transact<T>(
  db: IDBDatabase,
  tables: readonly string[],
  mode: "readonly" | "readwrite",
  work: (table: (name: string) => IDBObjectStore) => Promise<T>,
): Promise<T> {
  const transaction = db.transaction(tables, mode, { durability: "relaxed" });
  const kept = new Promise<void>((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(failed(transaction.error));
  });
  try {
    const value = await work((name) => transaction.objectStore(name));
    await kept;
    return value;
  } catch (error) {
    kept.catch(() => undefined);
    try {
      transaction.abort();
    } catch {
      // It ended by itself.
    }
    throw error;
  }
}

/** Up to `count` rows of a range, from its beginning or, with `prev`, from its end. */
export function rowsOf<T>(
  table: IDBObjectStore,
  range: IDBKeyRange,
  direction: "next" | "prev",
  count: number,
): Promise<T[]> {
  if (direction === "next") return done(table.getAll(range, count) as IDBRequest<T[]>);
  return new Promise((resolve, reject) => {
    const rows: T[] = [];
    const cursor = table.openCursor(range, direction);
    cursor.onerror = () => reject(failed(cursor.error));
    cursor.onsuccess = () => {
      const at = cursor.result;
      if (!at || rows.length >= count) return resolve(rows);
      rows.push(at.value as T);
      at.continue();
    };
  });
}
