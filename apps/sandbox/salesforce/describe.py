"""Describe answers. Public surface: all_objects, one, summary."""

from .fields import CHILDREN, PREFIXES, STAGES, Field

SOAP = {
    "id": "tns:ID",
    "reference": "tns:ID",
    "boolean": "xsd:boolean",
    "double": "xsd:double",
    "currency": "xsd:double",
    "int": "xsd:int",
    "date": "xsd:date",
    "datetime": "xsd:dateTime",
}


def summary(obj: str) -> dict:
    base = f"/services/data/v68.0/sobjects/{obj}"
    return {
        "name": obj,
        "label": obj.removesuffix("__c").replace("_", " "),
        "custom": obj.endswith("__c"),
        "keyPrefix": PREFIXES.get(obj),
        "queryable": True,
        "createable": True,
        "updateable": True,
        "deletable": True,
        "retrieveable": True,
        "replicateable": True,
        "urls": {"sobject": base, "describe": f"{base}/describe", "rowTemplate": base + "/{ID}"},
    }


def all_objects(org) -> dict:
    return {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": [summary(obj) for obj in org.objects()]}


def one(org, obj: str) -> dict:
    fields = [_field(field) for field in org.fields(obj).values()]
    children = [
        {"childSObject": child, "field": reference, "relationshipName": name}
        for name, (child, reference) in CHILDREN.get(obj, {}).items()
    ]
    return {**summary(obj), "fields": fields, "childRelationships": children, "recordTypeInfos": []}


def _field(field: Field) -> dict:
    values = list(STAGES) if field.name == "StageName" else []
    return {
        "name": field.name,
        "label": field.name.removesuffix("__c").replace("_", " "),
        "type": field.type,
        "soapType": SOAP.get(field.type, "xsd:string"),
        "length": field.length,
        "custom": field.name.endswith("__c"),
        "nillable": not field.required,
        "createable": not field.read_only,
        "updateable": not field.read_only,
        "externalId": field.external_id,
        "idLookup": field.external_id or field.name == "Id",
        "unique": field.unique,
        "referenceTo": [field.target] if field.target else [],
        "relationshipName": field.relationship if field.target else None,
        "filterable": True,
        "sortable": True,
        "picklistValues": [{"value": v, "label": v, "active": True, "defaultValue": False} for v in values],
        "restrictedPicklist": bool(values),
    }
