"""One page as JSON and one as XML; each names a C library that the image must have."""
import os

import django
import psycopg2
from django.http import HttpResponse, JsonResponse
from django.utils import timezone
from lxml import etree

GREETING = "hello"


def status(request):
    """Who serves, and with what."""
    return JsonResponse(
        {
            "greeting": GREETING,
            "time": timezone.now().isoformat(),
            "uid": os.getuid(),
            "django": django.get_version(),
            "libpq": psycopg2.extensions.libpq_version(),
            "libxml2": ".".join(map(str, etree.LIBXML_VERSION)),
        }
    )


def feed(request):
    """The greeting as XML."""
    root = etree.Element("feed")
    etree.SubElement(root, "entry").text = GREETING
    return HttpResponse(etree.tostring(root), content_type="application/xml")
