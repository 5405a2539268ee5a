// The dashboard as people meet it, in a real browser. One story, in order: each test goes on where the last one ended.
// Pictures of it are kept in ONCEGATE_WEB_OUTPUT/pictures. With ONCEGATE_PICTURES=docs/images those of docs/dashboard.md are
// made anew, which takes a minute longer, for a chart that has something to show.

import assert from "node:assert/strict";
import {writeFileSync} from "node:fs";
import path from "node:path";
import {after, before, test} from "node:test";

import {Application, deliver, oldRows, openBrowser, OPS, pictures, run, Senders, serve, temporaryDirectory, until,
        WATCH} from "./world.mjs";

const OLD_ROWS = 10_000;
const FROZEN_MS_MAX = 500;
const TRAFFIC_FOR_PICTURES_MS = 75_000;
const docs = process.env.ONCEGATE_PICTURES;
const IN_DOCS = {"overview-dark": "overview", "resolve": "resolve", "record-dark": "record", "search": "search",
                 "overview-light": "overview-light", "phone-overview": "phone"};

const files = temporaryDirectory();
const tokens = path.join(files.directory, "tokens");
const application = new Application();
let server;
let senders;
let browser;
let context;
let page;
const complaints = [];
let mended = false;  // the application does not break off any more

async function picture(name) {
  if (docs) await until("nothing lies over it", async () => (await page.locator(".toast").count()) === 0);
  const png = await page.screenshot({path: path.join(pictures, `${name}.png`)});
  if (docs && name in IN_DOCS) writeFileSync(path.join(docs, `dashboard-${IN_DOCS[name]}.webp`), await webp(png));
}

// The browser has an encoder.
async function webp(png) {
  const blank = await context.newPage();
  const url = await blank.evaluate(async (source) => {
    const image = new Image();
    image.src = source;
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = image.width;
    canvas.height = image.height;
    canvas.getContext("2d").drawImage(image, 0, 0);
    return canvas.toDataURL("image/webp", 0.9);
  }, `data:image/png;base64,${png.toString("base64")}`);
  await blank.close();
  return Buffer.from(url.split(",")[1], "base64");
}

const text = (selector) => page.locator(selector).first().innerText();
const number = async (selector) => Number((await text(selector)).replaceAll(/[^\d.]/g, ""));

async function ask(target) {
  const stop = new AbortController();
  const response = await fetch(new URL(target, server.control), {headers: {Authorization: `Bearer ${OPS}`}, signal: stop.signal});
  const answer = {status: response.status, json: response.headers.get("content-type") === "application/json" ? await response.json() : null};
  stop.abort();
  return answer;
}

async function newPage(where) {
  const opened = await where.newPage();
  opened.setDefaultTimeout(8000);
  // A refused request is a test's intention; anything else that the console says is a fault of the page.
  opened.on("console", (message) => {
    if (message.type() === "error" && !/Failed to load resource/.test(message.text())) complaints.push(message.text());
  });
  opened.on("pageerror", (error) => complaints.push(String(error.stack)));
  return opened;
}

async function signIn(token) {
  await page.getByLabel("Token").fill(token);
  await page.keyboard.press("Enter");
}

before(async () => {
  writeFileSync(tokens, `ops:${OPS}\nwatch:read-only:${WATCH}\n`, {mode: 0o600});
  application.breaks = (order) => order.breaks === true && !mended;
  const upstream = await application.start();
  const rows = path.join(files.directory, "rows.ndjson");
  oldRows(rows, OLD_ROWS);
  const opening = openBrowser();
  server = await serve(["--upstream", upstream, "--data-dir", path.join(files.directory, "data"), "--control-token-file", tokens,
                        "--type-pointer", "/type", "--label", "order_id=/order/id", "--label", "city=/customer/city"]);
  await run("import", rows, "--control", server.control, "--control-token-file", tokens);
  browser = await opening;
  senders = new Senders(server.gateway, 60);
  context = await browser.newContext({viewport: {width: 1440, height: 900}, colorScheme: "dark"});
  page = await newPage(context);
});

after(async () => {
  await senders?.stop();
  await browser?.close();
  await server?.stop();
  application.stop();
  files.remove();
});

test("the page opens without a token, asks for one, and says when it is wrong", async () => {
  const answer = await page.goto(server.control);
  assert.equal(answer.status(), 200);
  await page.getByLabel("Token").waitFor();
  await picture("token");
  await signIn("not-this-one");
  await page.getByText("not one of the listener's").waitFor();
  await signIn(OPS);
  await page.getByText("Unknown outcomes").waitFor();
  assert.equal(await page.evaluate(() => document.cookie + localStorage.getItem("oncegate.token") + location.href.includes("ops")), "nullfalse");
});

test("numbers move under traffic", async () => {
  await page.locator(".status.live").waitFor();
  const rate = () => text(".hero-row .replayed .value");
  await until("a rate", async () => (await number(".hero-row .replayed .value")) > 0);
  const steady = await rate();
  // Steady traffic may show one figure for long: more of it must show another.
  for (let i = 0; i < 100; ++i) await deliver(server.gateway, "evt_burst", {type: "order.paid", order: {id: "burst"}});
  await until("the rate moves", async () => (await rate()) !== steady);
  const before_ = await number(".records .count.completed dd");
  assert.ok(before_ >= OLD_ROWS, `${before_} completed`);
  await until("more records", async () => (await number(".records .count.completed dd")) > before_);
  await until("a plausible hit rate", async () => {
    const rate = await number(".figure.hit .value");
    return rate > 30 && rate < 90;
  });
  await until("the chart has a line", () => page.evaluate(() => document.querySelector(".line.replayed")?.getAttribute("d").length > 25));
  assert.ok((await number(".store .value")) > 0);
  assert.ok((await page.locator(".columns .column:not(.none)").count()) >= 3, "columns of what expires when");
  assert.ok((await page.locator(".bar-row").count()) >= 3, "types");
});

test("latency and deliveries come live", async () => {
  await until("percentiles of both", async () => /[µm]?s/.test(await text(".latency .replayed td")) && /ms/.test(await text(".latency .executed td")));
  await page.locator(".feed li.replayed").first().waitFor();
  await page.locator(".feed li.executed").first().waitFor();
  assert.match(await page.locator(".feed li.executed").first().innerText(), /evt_/);
});

test("an application that breaks off leaves an unknown outcome, which a person settles", async () => {
  for (const key of ["pay_7001", "pay_7002", "pay_7003"]) {
    const {outcome} = await deliver(server.gateway, key, {type: "order.paid", breaks: true, order: {id: `B-${key.slice(-2)}`}});
    assert.equal(outcome, "upstream-broken");
  }
  await page.locator(".unknown-row").nth(2).waitFor();
  await page.locator(".top nav .badge", {hasText: "3"}).waitFor();
  assert.match(await page.title(), /3 unknown/);
  if (docs) await page.waitForTimeout(TRAFFIC_FOR_PICTURES_MS);
  await picture("overview-dark");

  const row = (key) => page.locator(".unknown-row", {hasText: key});
  await row("pay_7001").getByRole("button", {name: "Resolve"}).click();
  await page.locator("dialog textarea").fill('{"order":"B-01"}');
  await picture("resolve");
  await page.getByRole("button", {name: "Settle", exact: true}).click();
  await row("pay_7001").waitFor({state: "detached"});
  assert.deepEqual(await deliver(server.gateway, "pay_7001", {type: "order.paid", breaks: true, order: {id: "B-01"}}),
                   {status: 200, outcome: "replayed"}, "retries get the answer that the operator gave");
});

test("a redelivery sends the stored request again, and shows what came of it", async () => {
  const row = page.locator(".unknown-row", {hasText: "pay_7002"});
  await row.getByRole("button", {name: "Redeliver"}).click();
  await page.getByText("does it a second time").waitFor();
  await page.getByRole("button", {name: "Send again"}).click();
  await page.locator("dialog .problem", {hasText: "broke"}).waitFor();
  mended = true;
  await page.getByRole("button", {name: "Send again"}).click();
  await page.getByText("The application answered 200").waitFor();
  await row.waitFor({state: "detached"});
  assert.equal((await deliver(server.gateway, "pay_7002", {type: "order.paid", breaks: true, order: {id: "B-02"}})).outcome, "replayed");
  await page.goto(`${server.control}/#/records/default/pay_7002`);
  const sent = page.locator(".timeline li", {hasText: "sent again by an operator"}).filter({hasText: "by ops"});
  await sent.nth(1).waitFor();
  assert.equal(await sent.count(), 2, "the application broke off the first time");
  await page.goto(`${server.control}/#/`);
});

test("a release asks first; Enter takes the safe way out", async () => {
  const row = page.locator(".unknown-row", {hasText: "pay_7003"});
  await row.getByRole("button", {name: "Release"}).click();
  await page.getByText("executed as if it were the first").waitFor();
  await page.keyboard.press("Enter");
  await page.locator("dialog").waitFor({state: "detached"});
  await row.waitFor();
  await row.getByRole("button", {name: "Release"}).click();
  await page.locator("dialog").getByRole("button", {name: "Release"}).click();
  await page.getByText("Every outcome is known").waitFor();
  assert.equal((await deliver(server.gateway, "pay_7003", {type: "order.paid", order: {id: "B-03"}})).outcome, "executed");
});

test("a duplicate is found by its order id", async () => {
  const wanted = senders.sent[5];
  await page.keyboard.press("/");
  await page.keyboard.type(wanted.body.order.id, {delay: 5});
  await page.locator(".results header", {hasText: "order_id is"}).waitFor();
  await picture("search");
  await page.keyboard.press("Enter");
  await page.locator(".record-title h1", {hasText: wanted.key}).waitFor();
  await page.locator(".body pre", {hasText: "Lovelace"}).first().waitFor();
  assert.match(await text(".message .first-line"), /POST \/webhook/);
  assert.equal(await page.locator(".message", {hasText: "is what retries get"}).locator("pre").count(), 1);
  await picture("record-dark");
});

test("a key's page shows its deliveries as they come", async () => {
  const {key, body} = senders.sent[5];
  const replays = await page.locator(".timeline .replayed").count();
  await deliver(server.gateway, key, body);
  await until("the retry is in the timeline", async () => (await page.locator(".timeline .replayed").count()) > replays);
});

test("search by key, by type, and for what is not there", async () => {
  const search = page.getByLabel("Search", {exact: true});
  await search.fill("pay_700");
  await page.locator(".results .result", {hasText: "pay_7003"}).waitFor();
  await search.fill("refund.is");
  await page.locator(".results header", {hasText: "Types"}).waitFor();
  await search.fill("label:order_id:L-77");
  await page.locator(".results .result", {hasText: "old_00077"}).waitFor();
  await search.fill("no-such-thing");
  await page.getByText("Nothing is called").waitFor();
  await search.fill("type:refund.issued");
  await page.locator(".results .result").first().waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  assert.equal(await page.evaluate(() => document.activeElement.tagName), "BODY");
});

test("the keyboard walks through the records", async () => {
  await page.keyboard.press("g");
  await page.keyboard.press("r");
  await page.locator(".record-row").nth(10).waitFor();
  for (const key of ["j", "j", "j", "k"]) await page.keyboard.press(key);
  const second = page.locator(".record-row").nth(1);
  assert.equal(await second.getAttribute("aria-current"), "true");
  const key = await second.locator(".key").innerText();
  await page.keyboard.press("Enter");
  await page.locator(".record-title h1", {hasText: key}).waitFor();
  await page.keyboard.press("Escape");
  await page.locator(".record-row").first().waitFor();
  await page.keyboard.press("?");
  await page.locator("dialog.help").waitFor();
  await page.keyboard.press("Escape");
  await page.locator("dialog.help").waitFor({state: "detached"});
});

test("ten thousand records leave the page quick", async () => {
  await page.getByLabel("Type", {exact: true}).fill("legacy.1");
  await page.keyboard.press("Enter");
  await page.locator(".pager .note", {hasText: "1 to 50"}).waitFor();
  await page.evaluate(() => {
    window.longest = 0;
    let last = performance.now();
    const frame = (now) => {
      window.longest = Math.max(window.longest, now - last);
      last = now;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });
  for (let turn = 1; turn <= 12; ++turn) {
    await page.keyboard.press("n");
    await page.locator(".pager .note", {hasText: `${turn * 50 + 1} to ${turn * 50 + 50}`}).waitFor();
  }
  await page.keyboard.press("p");
  await page.locator(".pager .note", {hasText: "551 to 600"}).waitFor();
  const longest = await page.evaluate(() => window.longest);
  assert.ok(longest < FROZEN_MS_MAX, `the page stood still for ${longest.toFixed(0)} ms`);
  assert.equal(await page.locator(".record-row").count(), 50);
  assert.deepEqual([...new Set(await page.locator(".record-row .type").allInnerTexts())], ["legacy.1"]);
  await picture("records-dark");
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await page.locator(".record-title").waitFor();
  await page.keyboard.press("Escape");
  await page.locator(".pager .note", {hasText: "551 to 600"}).waitFor();
  assert.equal(await page.locator(".record-row").first().getAttribute("aria-current"), "true", "back at the row that was opened");
});

test("what strangers send is shown as text, and runs nowhere", async () => {
  const evil = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>';
  application.answer = (order) => ({evil: order.type});
  const {outcome} = await deliver(server.gateway, "x=/~evil", {type: evil, order: {id: `${evil}'"`}, text: `</pre>${evil}`}, `/webhook?${encodeURI(evil)}`);
  assert.equal(outcome, "executed");
  await page.goto(`${server.control}/#/`);
  await page.locator(".bar-row", {hasText: "<img src=x"}).waitFor();
  await page.goto(`${server.control}/#/records?type=${encodeURIComponent(evil)}`);
  await page.locator(".record-row .type", {hasText: "<img src=x"}).waitFor();
  await page.locator(".record-row").first().click();
  await page.locator(".body pre", {hasText: "</pre><img"}).first().waitFor();
  await page.getByLabel("Search", {exact: true}).fill(evil);
  await page.locator(".results .result", {hasText: "<img src=x"}).waitFor();
  await page.goto(`${server.control}/#/records/default/${encodeURIComponent(evil)}`);
  await page.locator(".empty code", {hasText: "<img src=x"}).waitFor();
  assert.equal(await page.evaluate(() => window.pwned), undefined);
  assert.equal(await page.locator("main img, main script").count(), 0);
  // Should a slip ever make markup of text, the browser refuses.
  const refused = await page.evaluate(() => {
    try {
      document.body.insertAdjacentHTML("beforeend", "<b>x</b>");
      return "done";
    } catch (error) {
      return error.name;
    }
  });
  assert.equal(refused, "TypeError");
  complaints.splice(0, complaints.length, ...complaints.filter((line) => !/Trusted ?(HTML|Type)/i.test(line)));
});

test("shadow mode is shown when there is something to show", async () => {
  await page.goto(`${server.control}/#/`);
  await page.locator(".status.live").waitFor();
  assert.equal(await page.locator(".shadow").isVisible(), false);
  await page.route("**/v1/stats", async (route) => {
    const answer = await route.fetch();
    const shadow = {would_execute: 1200, would_replay: 83, would_wait: 4, would_reject_mismatch: 2, would_reject_unknown: 0, missing_key: 17};
    await route.fulfill({response: answer, json: {...await answer.json(), shadow}});
  });
  await page.locator(".shadow .value", {hasText: "87"}).waitFor();
  assert.match(await text(".shadow .facts"), /without a key/);
  assert.doesNotMatch(await text(".shadow .facts"), /unknown/);
  await picture("shadow");
  await page.unroute("**/v1/stats");
});

test("a token that may only read looks and does not touch", async () => {
  mended = false;
  await deliver(server.gateway, "pay_7009", {type: "order.paid", breaks: true, order: {id: "B-09"}});
  await page.locator("button.who").click();
  await page.getByLabel("Token").waitFor();
  await signIn(WATCH);
  await page.goto(`${server.control}/#/`);
  await page.locator(".unknown-row").waitFor();
  for (const button of await page.locator(".unknown-row button").all()) assert.equal(await button.isDisabled(), true);
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await page.getByText("Not shown to a token that may only read").first().waitFor();
  await page.keyboard.press("x");
  await page.locator(".toast", {hasText: "Your token may only read"}).waitFor();
  assert.equal(await page.locator("dialog").count(), 0);
});

test("a token that is withdrawn is asked for again", async () => {
  await page.goto(`${server.control}/#/`);
  await page.locator(".status.live").waitFor();
  writeFileSync(tokens, `ops:${OPS}\n`);
  server.reload();
  await page.getByText("The token is no longer accepted").waitFor();
  writeFileSync(tokens, `ops:${OPS}\nwatch:read-only:${WATCH}\n`);
  server.reload();
  await until("the old token holds again", async () => {
    await signIn(WATCH);
    return page.locator(".unknown-row").waitFor({timeout: 500}).then(() => true, () => false);
  });
});

test("light and dark, by choice and by the system", async () => {
  const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const dark = await ground();
  await page.emulateMedia({colorScheme: "light"});
  const light = await ground();
  assert.notEqual(light, dark);
  await page.keyboard.press("t");
  assert.equal(await ground(), dark, "chosen dark holds in a light system");
  await page.reload();
  await page.locator(".status.live").waitFor();
  assert.equal(await ground(), dark, "and after a reload");
  await page.keyboard.press("t");
  assert.equal(await ground(), light);
  await page.keyboard.press("t");
  await picture("record-unknown-light");
  await page.goto(`${server.control}/#/`);
  await page.locator(".unknown-row").waitFor();
  await until("some traffic", () => page.evaluate(() => document.querySelector(".line.replayed").getAttribute("d").length > 25));
  await picture("overview-light");
});

test("it can be read on a phone", async () => {
  const phone = await browser.newContext({viewport: {width: 390, height: 844}, deviceScaleFactor: 1.5, colorScheme: "dark", hasTouch: true, isMobile: true});
  const desktop = page;
  page = await newPage(phone);
  await page.goto(server.control);
  await signIn(OPS);
  const {key, scope} = {key: "pay_7009", scope: "default"};
  for (const [name, hash, selector] of [["overview", "#/", ".unknown-row"], ["records", "#/records", ".record-row"],
                                        ["record", `#/records/${scope}/${key}`, ".record-title"]]) {
    await page.goto(`${server.control}/${hash}`);
    await page.locator(selector).first().waitFor();
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(wide, 0, `${name} is wider than the phone by ${wide} px`);
    if (docs && name === "overview") await until("a curve", () => page.evaluate(() => document.querySelector(".line.replayed").getAttribute("d").length > 120), 20_000);
    await picture(`phone-${name}`);
  }
  await phone.close();
  page = desktop;
});

test("a lost connection is told, and comes back by itself", async () => {
  await senders.stop();
  const {directory, remove} = temporaryDirectory();
  const flags = ["--data-dir", directory];
  const first = await serve(flags);
  const open = await browser.newContext({viewport: {width: 1280, height: 800}, colorScheme: "dark"});
  page = await newPage(open);
  await page.goto(first.control);
  await page.locator(".status.live").waitFor();
  await page.getByText("Every outcome is known").waitFor();
  await page.getByText("No records yet").waitFor();
  await picture("empty");
  await first.kill();
  await page.locator(".status.lost").waitFor();
  await page.getByText("The server cannot be reached").waitFor();
  await picture("lost");
  const second = await serve(flags, {control: first.control.replace("http://", "")});
  await page.locator(".status.live").waitFor();
  assert.equal(await page.locator(".banner").count(), 0);
  await open.close();
  await second.stop();
  remove();
});

test("the console had nothing to say", () => assert.deepEqual(complaints, []));
