/** What browser tests stand on: a real server, a network that can be cut, scripted people, and browsers. */
export * from "./browser";
export * from "./front";
export * from "./people";
export * from "./server";
export * from "./until";
