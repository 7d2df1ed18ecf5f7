"""The demo page in a real browser, on a real server: what it shows, what it says of failures, who can use it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bert_ms import Client
from tests.serving.browser import FAINT, NAMELESS, WIDER, chromium
from tests.serving.process import Running, running

pytest.importorskip("flask")
TABS = ("ask", "classify", "entities", "masks", "compare", "live")
KEY = "a-key-for-this-test"
CAPITALS = "Ada met Bob"


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running("tests.serving.page_process") as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


class Visitor:
    """Opens pages, and notes what a browser complains of (content that the policy forbids) and whom else they ask."""

    def __init__(self, browser: Any):
        self.browser, self.complaints, self.elsewhere, self.contexts = browser, list[str](), list[str](), list[Any]()

    def __call__(self, url: str, *, width: int = 1280, **options: Any) -> Any:
        context = self.browser.new_context(viewport={"width": width, "height": 800}, **options)
        self.contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "request", lambda request: request.url.startswith(url.split("#")[0]) or self.elsewhere.append(request.url)
        )
        page.goto(url)
        return page

    def check(self) -> None:
        """Statuses that a test provokes may be noted; nothing else may."""
        noted, self.complaints = self.complaints, []
        assert not [text for text in noted if not text.startswith("Failed to load resource")]
        assert not self.elsewhere, "the page asks somebody else"


@pytest.fixture(scope="module")
def visitor(browser: Any) -> Iterator[Visitor]:
    found = Visitor(browser)
    yield found
    for context in found.contexts:
        context.close()


@pytest.fixture
def visit(visitor: Visitor) -> Iterator[Visitor]:
    yield visitor
    visitor.check()


@pytest.fixture(scope="module")
def opened(visitor: Visitor, server: Running) -> Any:
    """The page, opened once: its tabs keep what is typed into them."""
    return visitor(server.url)


@pytest.fixture
def page(opened: Any, visit: Visitor) -> Any:
    return opened


def submit(page: Any, tab: str, **fields: str) -> Any:
    """Fill the fields of a tab by their labels, ask, and give the answer's element."""
    page.click(f"#tab-{tab}")
    panel = page.locator(f"#panel-{tab}")
    for label, value in fields.items():
        panel.get_by_label(label.replace("_", " "), exact=True).fill(value)
    answer = panel.locator(".answer")
    answer.evaluate("element => element.replaceChildren()")  # what stands there is not taken for what comes
    panel.locator("button[type=submit]").click()
    answer.locator(".footer, .notice").wait_for()
    return answer


def test_tabs_are_those_of_what_the_models_can_do(page: Any) -> None:
    page.wait_for_selector("[role=tab]")
    assert page.locator("[role=tab]").all_inner_texts() == ["Ask", "Classify", "Entities", "Masks", "Compare", "Live"]


def test_an_answer_behind_emoji_is_marked_where_it_stands(page: Any) -> None:
    passage = "🦊🦊 met 👩‍👩‍👧 at the Café, İstanbul 🥐stove"
    answer = submit(page, "ask", Question="Where?", Passage=passage)
    assert answer.locator("mark.best").evaluate("e => e.firstChild.data") == "🥐stove"
    assert answer.locator("mark.other").evaluate("e => e.firstChild.data") == "🦊🦊"
    assert answer.locator(".verdict").inner_text().startswith("🥐stove 87.5 %")
    assert [bar.split("\n")[0] for bar in answer.locator(".bar").all_inner_texts()] == ["🥐stove", "🦊🦊"]


def test_no_answer_is_said_in_words(page: Any) -> None:
    answer = submit(page, "ask", Question="None?", Passage="It was late.")
    assert answer.locator(".verdict").inner_text() == "The passage does not say. 80.0 %"
    assert answer.locator("mark.best").count() == 0
    assert "2.50" in answer.inner_text()


def test_text_that_is_markup_stays_text(page: Any) -> None:
    markup = "<img src=x onerror=document.title='taken'> <b>Bold</b> <script>document.title='taken'</script>"
    for tab, fields in (
        ("ask", {"Question": markup, "Passage": markup}),
        ("entities", {"Text": markup}),
        ("masks", {"Text": f"{markup} [MASK]"}),
        ("compare", {"Sentences": f"{markup}\n{markup}"}),
    ):
        answer = submit(page, tab, **fields)
        assert answer.locator("img, b, script").count() == 0
        assert "onerror" in answer.inner_text()
    assert page.title() == "bert_ms"


def test_every_kind_shows_its_answer(page: Any) -> None:
    assert submit(page, "classify", Text="fine").locator(".bar").all_inner_texts()[0].split() == ["good", "75.0", "%"]
    entities = submit(page, "entities", Text=f"🙂 {CAPITALS}")
    assert entities.locator("mark").evaluate_all("all => all.map(e => e.firstChild.data)") == ["Ada", "Bob"]
    assert entities.locator(".legend").inner_text().split() == ["PER", "×", "2"]
    masks = submit(page, "masks", Text="a [MASK] and a [MASK]")
    assert masks.locator("h3").all_inner_texts() == ["Gap 1", "Gap 2"] and masks.locator(".bar").count() == 4
    map_ = submit(page, "compare", Sentences="one\ntwo\nthree")
    assert map_.locator("td.heat").all_inner_texts() == ["1.00"] * 9
    page.click("#tab-live")
    page.wait_for_selector(".tile")
    assert page.locator("#panel-live .timeline .bar").count() >= 4
    assert page.locator("#panel-live td .state").all_inner_texts() == ["ready"] * 5


def test_a_number_is_not_shown_as_a_probability(page: Any) -> None:
    answer = submit(page, "classify", Text="number")
    assert answer.locator(".verdict").inner_text() == "0.400 stars"
    assert answer.locator(".bar").count() == 0


def test_the_times_of_requests_are_summed_up_rightly(page: Any) -> None:
    for _ in range(2):
        submit(page, "classify", Text="fine")
    page.click("#tab-live")
    times = page.evaluate(
        "import('/static/api.js').then((api) => api.record.filter((o) => o.status === 200).map((o) => o.total))"
    )
    times.sort()
    middle = times[-(-len(times) // 2) - 1]
    shown = f"{middle:.1f} ms" if middle < 10 else f"{middle:.0f} ms"
    assert f"{len(times)} answered; half within {shown}, 95 %" in page.inner_text("#panel-live")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("busy", "The server is busy: its queue is full. Try again in 2 seconds."),
        ("restarting", "The model is being restarted. Try again in 1 second."),
        ("broken", "The server failed on this request."),
        (" ", "Write a text first."),
    ],
)
def test_refusals_are_said_in_words(page: Any, text: str, words: str) -> None:
    answer = submit(page, "classify", Text=text)
    assert answer.locator("[role=alert]").inner_text().split("\n")[0] == words


def test_a_server_that_went_away_is_said_in_words(page: Any) -> None:
    page.context.set_offline(True)
    assert "This device is offline." in submit(page, "classify", Text="fine").inner_text()
    page.context.set_offline(False)
    assert "good" in submit(page, "classify", Text="fine").inner_text()


def test_a_key_is_asked_for_and_kept_for_the_tab_alone(visit: Visitor) -> None:
    with running("tests.serving.page_process", "kinds=ner", f"api_keys={KEY}") as guarded:
        page = visit(guarded.url)
        page.wait_for_selector("[role=alert]")
        assert "This server wants an API key." in page.inner_text("#notice")
        page.fill("#key", KEY)
        page.press("#key", "Enter")
        assert submit(page, "entities", Text=CAPITALS).locator("mark").count() == 2
        assert page.locator("[role=tab]").all_inner_texts() == ["Entities", "Live"]
        assert page.evaluate("[Object.values(sessionStorage), localStorage.length, document.cookie]") == [[KEY], 0, ""]


def test_a_model_that_is_ready_later_brings_its_tab_and_disturbs_nobody(visit: Visitor) -> None:
    with running("tests.serving.page_process", "kinds=ner,embed", "late=embed") as loading:
        page = visit(f"{loading.url}/#entities")
        page.wait_for_selector("[role=tab]")
        assert page.locator("[role=tab]").all_inner_texts() == ["Entities", "Live"]
        assert page.inner_text("#health") == "1 of 2 models ready"
        page.locator("#panel-entities textarea").fill("Mine")
        Client(loading.url).ner("wake")
        page.wait_for_selector("#tab-compare")
        assert page.locator("#panel-entities textarea").input_value() == "Mine"
        assert page.evaluate("document.activeElement.tagName") == "TEXTAREA"
        assert page.inner_text("#health") == "2 models ready"


def test_the_keyboard_alone_is_enough(page: Any) -> None:
    page.wait_for_selector("[role=tab]")
    page.focus("#tab-ask")
    for key, chosen in (("ArrowRight", "classify"), ("End", "live"), ("ArrowRight", "ask"), ("ArrowLeft", "live")):
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.id") == f"tab-{chosen}"
        assert page.locator("[role=tab][aria-selected=true]").get_attribute("id") == f"tab-{chosen}"
        assert page.locator("[role=tabpanel]:not([hidden])").get_attribute("id") == f"panel-{chosen}"
    page.keyboard.press("Home")
    page.focus("#panel-ask textarea")
    page.keyboard.press("Control+Enter")
    page.locator("#panel-ask .footer").wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "dark")])
def test_every_page_fits_and_can_be_read(visit: Visitor, server: Running, width: int, scheme: str) -> None:
    page = visit(server.url, width=width, color_scheme=scheme, reduced_motion="reduce")
    for tab in TABS:
        page.click(f"#tab-{tab}")
        if tab != "live":
            page.locator(f"#panel-{tab} .examples button").first.click()
            page.locator(f"#panel-{tab} .footer").wait_for()
        assert [page.evaluate(check) for check in (WIDER, FAINT, NAMELESS)] == [0, [], []], tab
    page.goto(f"{server.url}/docs")
    page.wait_for_selector(".operation")
    assert [page.evaluate(check) for check in (WIDER, FAINT, NAMELESS)] == [0, [], []]


def test_the_docs_page_has_every_operation_and_finds_them(visit: Visitor, server: Running) -> None:
    page = visit(server.url)
    page.goto(f"{server.url}/docs")
    page.wait_for_selector(".operation")
    paths = page.evaluate("fetch('openapi.json').then((r) => r.json()).then((d) => Object.keys(d.paths))")
    shown = page.locator(".operation-name a").all_inner_texts()
    assert set(paths) == set(shown) and len(shown) > 20
    assert '-d \'{"inputs"' in page.inner_text("#post-api-v1-ner pre")
    page.fill("#search", "gaps")
    assert page.locator(".operation:visible a.code").all_inner_texts() == ["/api/v1/fill-mask"]
    assert page.inner_text("#found").startswith("1 of ")
