"""A headless Chromium for tests: Debian's packages chromium and chromium-driver, driven by selenium."""

import importlib.util
import os
import shutil
from contextlib import contextmanager

import pytest

MISSING = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
MISSING += [name for name in ("selenium",) if importlib.util.find_spec(name) is None]


def need_chromium():
    """Skip where there is no Chromium; in CI, which has it, that is a failure."""
    if MISSING and os.environ.get("CI") == "true":
        pytest.fail(f"CI must have {', '.join(MISSING)}")
    if MISSING:
        pytest.skip(f"needs {', '.join(MISSING)}")


@contextmanager
def chromium(width=1280, height=900, dark=False):
    """Start a browser that reaches this machine only."""
    need_chromium()
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage",
        "--disable-component-update", "--no-first-run", f"--window-size={width},{height}",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    ):  # fmt: skip
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        driver.set_window_size(width, height)
        look(driver, width, height, dark)
        yield driver
    finally:
        driver.quit()


def look(driver, width, height, dark):
    """Give the page this size and the light or the dark scheme."""
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
    )
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})


def is_wider_than_its_window(driver):
    return driver.execute_script("return document.documentElement.scrollWidth > innerWidth + 1")
