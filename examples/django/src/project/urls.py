"""Where requests go."""
from django.urls import path

from status import views

urlpatterns = [path("", views.status), path("feed", views.feed)]
