// Draws views of images in a headless browser. Each line of the standard input is the arguments of
// `show` of viewer.js and the name of a file for a picture of the page; a line with what it
// returns, or with an error, is written for each. Arguments: browser, address of the page.
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const [executablePath, address] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});
const page = await browser.newPage();
await page.goto(address);

// Unlike an evaluation, what is waited for does not take forever
const draw = async (view) =>
  (await page.waitForFunction((view) => window.show(view), view)).jsonValue();

for await (const line of createInterface({ input: process.stdin })) {
  const { screenshot, ...view } = JSON.parse(line);
  const answer = await draw(view).catch((error) => ({ error: error.message }));
  await page.screenshot({ path: screenshot, fullPage: true });
  console.log(JSON.stringify(answer));
}
await browser.close();
