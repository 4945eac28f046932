import { expect, test } from "vitest";
import { Hub } from "../src/engine/hub/hub";
import { Memory } from "../src/engine/store/memory";
import { read } from "../src/engine/wire/codec";
import { ME, YOU } from "./make";

async function loggedIn(): Promise<Hub> {
  const hub = new Hub("http://localhost", new Memory());
  const me = { uid: ME, nickname: "Ann", signature: "", email: "ann@example.org", findableByEmail: true, session: "s" };
  await hub.model.setAccount({ me, live: true });
  return hub;
}

const profile = (change: object) => read("UserEvent", { profile: change });

test("what another device changed of my profile is known here, all of it", async () => {
  const hub = await loggedIn();
  hub.userEvents([
    profile({ uid: String(YOU), nickname: "Bob" }),
    profile({ uid: String(ME), nickname: "Ann", signature: "first", email: "ann@example.org", findableByEmail: true }),
    profile({ uid: String(ME), nickname: "Anne", signature: "here", email: "ann@example.org" }),
  ]);
  await expect
    .poll(() => hub.model.account?.me)
    .toEqual({
      uid: ME,
      nickname: "Anne",
      signature: "here",
      email: "ann@example.org",
      findableByEmail: false,
      session: "s",
    });
  await expect.poll(() => hub.directory.person(ME).name).toBe("Anne");
});
