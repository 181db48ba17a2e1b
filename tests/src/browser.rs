//! A headless Chromium, driven by its `DevTools` protocol over a pipe: no port, no driver, no other crate.
//!
//! Clicks and keys are real input events at the place of an element, so that a flow works in a page
//! without JavaScript as it does for people.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::server::Scratch;

/// A name that leads to this machine, but that browsers trust no more than any other on a network: over
/// plain http, scripts get no clipboard there.
pub const LAN: &str = "headcount.lan";

/// How long an answer of the browser, or a page, may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with a private profile.
pub struct Browser {
    child: Child,
    wire: Mutex<Wire>,
    _profile: Scratch,
}

struct Wire {
    requests: ChildStdin,
    messages: Receiver<Value>,
    next: u64,
    events: Vec<Value>,
}

impl Wire {
    fn send(&mut self, session: Option<&str>, method: &str, params: &Value) -> u64 {
        self.next += 1;
        let mut request = json!({"id": self.next, "method": method, "params": params});
        if let Some(session) = session {
            request["sessionId"] = session.into();
        }
        let mut bytes = request.to_string().into_bytes();
        bytes.push(0);
        self.requests.write_all(&bytes).expect("the browser listens");
        self.requests.flush().expect("the browser listens");
        self.next
    }

    /// Keeps an event. A dialog is closed, or nothing in its page would go on.
    fn keep(&mut self, event: Value) {
        if event["method"] == "Page.javascriptDialogOpening" {
            let answer = json!({"accept": false});
            self.send(event["sessionId"].as_str(), "Page.handleJavaScriptDialog", &answer);
        }
        self.events.push(event);
    }
}

impl Browser {
    /// Starts one.
    pub fn start() -> Arc<Self> {
        let profile = Scratch::new();
        // The protocol speaks on the descriptors 3 and 4.
        let script = "exec chromium \"$@\" 3<&0 4>&1 0</dev/null 1>/dev/null 2>/dev/null";
        let mut command = Command::new("sh");
        command.args(["-c", script, "chromium"]).args([
            "--headless",
            "--remote-debugging-pipe",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-extensions",
            "--hide-scrollbars",
            "--force-color-profile=srgb",
            "--lang=en-GB",
        ]);
        command.arg(format!("--host-resolver-rules=MAP {LAN} 127.0.0.1"));
        command.arg("--disable-features=HttpsUpgrades,HttpsFirstBalancedModeAutoEnable");
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command
            .spawn()
            .expect("Chromium can be started: `cargo xtask test` installs it where it is missing");
        let requests = child.stdin.take().expect("it was piped");
        let replies = BufReader::new(child.stdout.take().expect("it was piped"));
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            for message in replies.split(0).map_while(Result::ok) {
                let parsed = serde_json::from_slice(&message).unwrap_or_default();
                if sender.send(parsed).is_err() {
                    return;
                }
            }
        });
        let wire = Mutex::new(Wire { requests, messages, next: 0, events: Vec::new() });
        Arc::new(Self { child, wire, _profile: profile })
    }

    /// Opens a page that shares neither cookies nor storage with any other.
    pub fn page(self: &Arc<Self>) -> Page {
        let context = self.call(None, "Target.createBrowserContext", &json!({}));
        let target = json!({"url": "about:blank", "browserContextId": context["browserContextId"]});
        let target = self.call(None, "Target.createTarget", &target);
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = self.call(None, "Target.attachToTarget", &attach);
        let session = session["sessionId"].as_str().expect("a session has an id").to_owned();
        let page = Page { browser: Arc::clone(self), session, clicks: AtomicUsize::new(0) };
        for domain in ["Page", "Runtime", "DOM", "Log", "Audits", "Network"] {
            page.call(&format!("{domain}.enable"), &json!({}));
        }
        page
    }

    fn call(&self, session: Option<&str>, method: &str, params: &Value) -> Value {
        let mut wire = self.wire.lock().expect("no user panics inside");
        let id = wire.send(session, method, params);
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match wire.messages.recv_timeout(left) {
                Ok(message) if message["id"] == id => {
                    let error = &message["error"];
                    assert!(error.is_null(), "{method}: {error}");
                    return message["result"].clone();
                }
                Ok(event) => wire.keep(event),
                Err(error) => panic!("{method}: the browser does not answer ({error})"),
            }
        }
    }

    /// Waits for an event of a session, and takes it and those before it off the list when `take`.
    fn event(&self, session: &str, method: &str, patience: Duration) -> Option<Value> {
        let mut wire = self.wire.lock().expect("no user panics inside");
        let end = Instant::now() + patience;
        loop {
            let is_it = |event: &Value| event["method"] == method && event["sessionId"] == session;
            if let Some(at) = wire.events.iter().position(is_it) {
                return Some(wire.events.remove(at));
            }
            match wire.messages.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(event) => wire.keep(event),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A page of a browser.
pub struct Page {
    browser: Arc<Browser>,
    session: String,
    clicks: AtomicUsize,
}

/// What went wrong in a page, as the browser reports it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Troubles {
    /// Violations of the content security policy.
    pub violations: Vec<String>,
    /// Dialogs that a script opened.
    pub dialogs: usize,
    /// Exceptions that no script caught.
    pub exceptions: Vec<String>,
    /// Requests to other origins.
    pub foreign: Vec<String>,
}

impl Page {
    /// Calls a method of the protocol.
    pub fn call(&self, method: &str, params: &Value) -> Value {
        self.browser.call(Some(&self.session), method, params)
    }

    /// Switches JavaScript of pages off or on.
    pub fn scripts(&self, on: bool) {
        self.call("Emulation.setScriptExecutionDisabled", &json!({"value": !on}));
    }

    /// Prefers a dark or a light scheme.
    pub fn dark(&self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": value}]);
        self.call("Emulation.setEmulatedMedia", &json!({"features": features}));
    }

    /// Sets the size of the window.
    pub fn size(&self, width: u32, height: u32) {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", &size);
    }

    /// Goes to an address and waits until it is there.
    pub fn goto(&self, url: &str) {
        self.forget("Page.loadEventFired");
        let gone = self.call("Page.navigate", &json!({"url": url}));
        assert!(gone["errorText"].is_null(), "{url}: {gone}");
        self.loaded(url);
    }

    fn forget(&self, method: &str) {
        let forget = |event: &Value| {
            event["method"] != method || event["sessionId"] != self.session.as_str()
        };
        self.browser.wire.lock().expect("no user panics inside").events.retain(forget);
    }

    fn loaded(&self, what: &str) {
        let loaded = self.browser.event(&self.session, "Page.loadEventFired", PATIENCE);
        assert!(loaded.is_some(), "{what}: the page was not loaded; it shows: {}", self.text());
    }

    /// Evaluates an expression, also where pages may not.
    pub fn eval(&self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let done = self.call("Runtime.evaluate", &params);
        assert!(
            done["exceptionDetails"].is_null(),
            "{expression:.200}: {}",
            done["exceptionDetails"]
        );
        done["result"]["value"].clone()
    }

    /// Returns what a reader sees.
    pub fn text(&self) -> String {
        self.eval("document.body ? document.body.innerText : ''")
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Returns the address.
    pub fn url(&self) -> String {
        self.eval("location.href").as_str().unwrap_or_default().to_owned()
    }

    /// Returns the value of a field.
    pub fn value(&self, selector: &str) -> String {
        let script = format!("document.querySelector({}).value", Value::from(selector));
        self.eval(&script).as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the page shows a text.
    pub fn wait_for(&self, text: &str) {
        let seen = crate::server::wait_for(PATIENCE, || self.text().contains(text).then_some(()));
        assert!(seen.is_some(), "\"{text}\" is not shown, but:\n{}", self.text());
    }

    fn node(&self, selector: &str) -> Value {
        let root = self.call("DOM.getDocument", &json!({"depth": 0}));
        let query = json!({"nodeId": root["root"]["nodeId"], "selector": selector});
        let node = self.call("DOM.querySelector", &query)["nodeId"].clone();
        assert!(node != 0, "{selector} is not in the page at {}:\n{}", self.url(), self.text());
        node
    }

    /// Clicks the middle of an element.
    pub fn click(&self, selector: &str) {
        let node = json!({"nodeId": self.node(selector)});
        self.call("DOM.scrollIntoViewIfNeeded", &node);
        let shape = self.call("DOM.getContentQuads", &node);
        let quad: Vec<f64> = shape["quads"][0]
            .as_array()
            .unwrap_or_else(|| panic!("{selector} is not seen"))
            .iter()
            .filter_map(Value::as_f64)
            .collect();
        self.clicks.fetch_add(1, Ordering::SeqCst);
        let (x, y) = ((quad[0] + quad[4]) / 2.0, (quad[1] + quad[5]) / 2.0);
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", &event);
        }
    }

    /// Says how often the mouse was clicked so far.
    pub fn clicks(&self) -> usize {
        self.clicks.load(Ordering::SeqCst)
    }

    /// Clicks what leads to another page, and waits for that.
    pub fn follow(&self, selector: &str) {
        self.forget("Page.loadEventFired");
        self.click(selector);
        self.loaded(selector);
    }

    /// Puts a text in a field, in place of what is there.
    pub fn fill(&self, selector: &str, text: &str) {
        self.call("DOM.focus", &json!({"nodeId": self.node(selector)}));
        self.press_with("a", "KeyA", 65, 2);
        self.press("Delete", "Delete", 46);
        self.call("Input.insertText", &json!({"text": text}));
    }

    /// Puts what was copied in a field.
    pub fn paste(&self, selector: &str) {
        self.fill(selector, "");
        self.press_with("v", "KeyV", 86, 2);
    }

    /// Types a text wherever the focus is.
    pub fn write(&self, text: &str) {
        self.call("Input.insertText", &json!({"text": text}));
    }

    /// Presses a key.
    pub fn press(&self, key: &str, code: &str, number: u32) {
        self.press_with(key, code, number, 0);
    }

    fn press_with(&self, key: &str, code: &str, number: u32, modifiers: u32) {
        let text = match key {
            "Enter" => "\r",
            " " => " ",
            _ => "",
        };
        let commands = match (key, modifiers) {
            ("a", 2) => json!(["selectAll"]),
            ("v", 2) => json!(["paste"]),
            _ => json!([]),
        };
        let event = json!({
            "type": "keyDown", "key": key, "code": code, "windowsVirtualKeyCode": number,
            "modifiers": modifiers, "text": text, "commands": commands,
        });
        self.call("Input.dispatchKeyEvent", &event);
        let event = json!({
            "type": "keyUp", "key": key, "code": code, "windowsVirtualKeyCode": number,
            "modifiers": modifiers,
        });
        self.call("Input.dispatchKeyEvent", &event);
    }

    /// Presses a key that leads to another page, and waits for that.
    pub fn press_and_follow(&self, key: &str, code: &str, number: u32) {
        self.forget("Page.loadEventFired");
        self.press(key, code, number);
        self.loaded(key);
    }

    /// Takes a picture of the whole page, as PNG.
    pub fn picture(&self) -> Vec<u8> {
        let shape = self.call("Page.getLayoutMetrics", &json!({}))["cssContentSize"].clone();
        let clip =
            json!({"x": 0, "y": 0, "width": shape["width"], "height": shape["height"], "scale": 1});
        let params = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let taken = self.call("Page.captureScreenshot", &params);
        decode(taken["data"].as_str().unwrap_or_default())
    }

    /// Says what went wrong in the page so far, given the origin that it may talk to.
    pub fn troubles(&self, origin: &str) -> Troubles {
        // An answer comes after all events that happened before it.
        self.call("Runtime.evaluate", &json!({"expression": "1"}));
        let wire = self.browser.wire.lock().expect("no user panics inside");
        let own = |event: &&Value| event["sessionId"] == self.session.as_str();
        let mut troubles = Troubles::default();
        for event in wire.events.iter().filter(own) {
            let params = &event["params"];
            match event["method"].as_str().unwrap_or_default() {
                "Audits.issueAdded" if params["issue"]["code"] == "ContentSecurityPolicyIssue" => {
                    troubles.violations.push(params["issue"]["details"].to_string());
                }
                "Log.entryAdded"
                    if params["entry"]["text"].to_string().contains("Content Security") =>
                {
                    troubles.violations.push(params["entry"]["text"].to_string());
                }
                "Page.javascriptDialogOpening" => troubles.dialogs += 1,
                "Runtime.exceptionThrown" => {
                    troubles.exceptions.push(params["exceptionDetails"].to_string());
                }
                "Network.requestWillBeSent" => {
                    let url = params["request"]["url"].as_str().unwrap_or_default();
                    if !url.starts_with(origin) && !url.starts_with("about:") {
                        troubles.foreign.push(url.to_owned());
                    }
                }
                _ => {}
            }
        }
        troubles
    }
}

/// Reads base 64.
fn decode(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut held, mut bytes) = (0u32, 0, Vec::new());
    for letter in text.bytes() {
        let Some(value) = ALPHABET.iter().position(|known| *known == letter) else { break };
        bits = (bits << 6) | u32::try_from(value).unwrap_or(0);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from((bits >> held) & 0xff).unwrap_or(0));
        }
    }
    bytes
}
