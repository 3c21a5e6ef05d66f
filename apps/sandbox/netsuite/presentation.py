"""Records as the API shows them: links, references, sublists.

Public surface: Presentation (a part of Account).
"""

from . import fields as meta


class Presentation:
    def show(self, kind: str, doc: dict, *, expand: bool, only: list[str]) -> dict:
        url = f"{self.system.base_url}/services/rest/record/v1/{kind}/{doc['id']}"
        result: dict = {"links": [{"rel": "self", "href": url}]}
        fields, sublists = self.fields(kind), self.sublists(kind)
        for name, value in doc.items():
            if value is None or (only and name not in only and name != "id"):
                continue
            if name in sublists or (name in fields and fields[name].type == "refs"):
                result[name] = self._show_sublist(f"{url}/{name}", value, sublists.get(name, {}), expand)
            elif name in fields and fields[name].type == "ref":
                result[name] = self._show_reference(fields[name], value)
            else:
                result[name] = value
        return result

    def _show_reference(self, field: meta.Field, value: dict) -> dict:
        href = f"{self.system.base_url}/services/rest/record/v1/{field.target}/{value['id']}"
        return {"links": [{"rel": "self", "href": href}], **{k: v for k, v in value.items() if v is not None}}

    def _show_sublist(self, url: str, value: dict, fields: dict, expand: bool) -> dict:
        links = [{"rel": "self", "href": url}]
        if not expand:
            return {"links": links}
        items = []
        for number, line in enumerate(value["items"], 1):
            key = line.get("line") or line.get("id") or number
            shown = {"links": [{"rel": "self", "href": f"{url}/{key}"}]}
            for name, inner in line.items():
                if inner is not None:
                    is_ref = name in fields and fields[name].type == "ref"
                    shown[name] = self._show_reference(fields[name], inner) if is_ref else inner
            items.append(shown)
        return {"links": links, "items": items, "totalResults": len(items)}
