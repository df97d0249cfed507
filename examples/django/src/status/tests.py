"""Run by the `dev` container."""
from django.test import SimpleTestCase
from freezegun import freeze_time


class StatusTest(SimpleTestCase):
    @freeze_time("2024-02-29 12:00:00")
    def test_status_is_json(self):
        answer = self.client.get("/", headers={"host": "localhost"}).json()
        self.assertEqual(answer["greeting"], "hello")
        self.assertEqual(answer["time"], "2024-02-29T12:00:00+00:00")

    def test_feed_is_xml(self):
        answer = self.client.get("/feed", headers={"host": "localhost"})
        self.assertEqual(answer.content, b"<feed><entry>hello</entry></feed>")

    def test_libraries_are_there(self):
        answer = self.client.get("/", headers={"host": "localhost"}).json()
        self.assertGreater(answer["libpq"], 100000)
        self.assertNotEqual(answer["uid"], 0)
