//! Looks at a page as people see it: light and dark, on a desk and on a phone, and with axe-core.

use std::path::PathBuf;

use headcount_e2e::Page;

use crate::support::Site;

/// What looks at pages, and what it found so far.
pub(crate) struct Gallery {
    axe: String,
    folder: PathBuf,
    found: Vec<String>,
}

impl Gallery {
    pub(crate) fn of(site: &Site) -> Self {
        Self { axe: axe(), folder: folder(site), found: Vec::new() }
    }

    /// Looks at the page that is open, which has to show a text.
    pub(crate) fn look(&mut self, page: &Page, name: &str, shows: &str) {
        assert!(page.text().contains(shows), "{name} does not show {shows}:\n{}", page.text());
        for (scheme, dark) in [("", false), ("-dark", true)] {
            page.dark(dark);
            for (device, width) in [("", 1280), ("-phone", 390)] {
                page.size(width, 900);
                let name = format!("{name}{device}{scheme}");
                if page.eval("document.documentElement.scrollWidth > innerWidth") == true {
                    self.found.push(format!("{name}: wider than the window"));
                }
                std::fs::write(self.folder.join(format!("{name}.png")), page.picture()).unwrap();
                // Forms that are folded away count, too.
                let folded = "details:not([open])";
                page.eval(&format!("window.folded = [...document.querySelectorAll('{folded}')]; folded.forEach(d => {{ d.open = true }})"));
                let barriers = barriers(page, &self.axe);
                page.eval("folded.forEach(d => { d.open = false })");
                if !barriers.is_empty() {
                    self.found.push(format!("{name}: {barriers}"));
                }
            }
        }
        page.dark(false);
        page.size(1280, 900);
    }

    /// Fails when anything was found.
    pub(crate) fn close(self) {
        assert!(self.found.is_empty(), "{}", self.found.join("\n"));
    }
}

/// Where pictures go: where the command wants them, or nowhere that is kept.
fn folder(site: &Site) -> PathBuf {
    let wanted = std::env::var_os("HEADCOUNT_PICTURES").map(PathBuf::from);
    let folder = wanted.unwrap_or_else(|| site.server.database.path().join("pictures"));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn axe() -> String {
    let environment = std::env::var_os("HEADCOUNT_TEST_VENV")
        .expect("axe-core stands in the virtual environment that `cargo xtask test` makes");
    let lib = PathBuf::from(environment).join("lib");
    let python = std::fs::read_dir(lib).unwrap().map(|entry| entry.unwrap().path());
    let file = "site-packages/axe_core_python/axe.min.js";
    let found = python.map(|path| path.join(file)).find(|path| path.exists());
    std::fs::read_to_string(found.expect("axe-core-python is installed")).unwrap()
}

/// Returns what axe-core finds that keeps people from using a page.
fn barriers(page: &Page, axe: &str) -> String {
    if page.eval("typeof axe") == "undefined" {
        page.eval(&format!("{axe}; 1"));
    }
    let found = page.eval(
        "axe.run(document, {resultTypes: ['violations']}).then(r => r.violations \
         .filter(v => v.impact === 'serious' || v.impact === 'critical') \
         .map(v => v.id + ': ' + v.nodes.map(n => n.html + ' ' + n.failureSummary).join(' | ')).join('\\n'))",
    );
    found.as_str().unwrap_or_default().to_owned()
}

/// What the other tests rely on: had a page a barrier, it would be found.
#[test]
fn barriers_are_found_where_there_are_some() {
    let site = Site::new();
    let page = site.owner(true);
    let axe = axe();
    assert_eq!(barriers(&page, &axe), "");
    page.eval("document.querySelector('label[for=name]').remove(); 1");
    assert!(barriers(&page, &axe).contains("label"), "a field without a label");
    page.eval("document.querySelector('h1').style.color = '#ccc'; 1");
    assert!(barriers(&page, &axe).contains("color-contrast"), "pale text");
}
