"""Objects and fields of the emulated org.

Source: Object Reference for the Salesforce Platform, version 68.0 (developer.salesforce.com/docs/atlas.en-us.
object_reference.meta); custom fields (``__c``) are those of the demonstration org.

Notation of a field: ``Name:type`` with type string(n), text, boolean, double, currency, int, date, datetime, picklist,
id or ref>Object; suffix ``!`` required on create, ``#`` external id, ``=`` unique, ``~`` read-only.
Public surface: OBJECTS, PREFIXES, parse_fields, Field, STAGES, CHILDREN.
"""

from dataclasses import dataclass

SYSTEM = "Id:id~ OwnerId:ref>User CreatedById:ref>User~ LastModifiedById:ref>User~ CreatedDate:datetime~ "
SYSTEM += "LastModifiedDate:datetime~ SystemModstamp:datetime~ IsDeleted:boolean~ CurrencyIsoCode:string(3)"

OBJECTS = {
    "Account": "Name:string(255)! ParentId:ref>Account AccountNumber:string(40) Website:string(255) Phone:string(40) "
    "Type:picklist Industry:picklist Description:text BillingStreet:string(255) BillingCity:string(40) "
    "BillingState:string(80) BillingPostalCode:string(20) BillingCountry:string(80) BillingCountryCode:string(2) "
    "BillingStateCode:string(10) ShippingStreet:string(255) ShippingCity:string(40) ShippingState:string(80) "
    "ShippingPostalCode:string(20) ShippingCountry:string(80) ShippingCountryCode:string(2) "
    "ERP_Customer_Id__c:string(80)# ERP_Id__c:string(80)# Legal_Entity__c:string(255) Legal_Name__c:string(255) "
    "Tax_Id__c:string(40) Tax_Exempt__c:boolean Registration_Number__c:string(80) Payment_Terms__c:string(80) "
    "Exemption_Certificate__c:string(80) Exempt_Until__c:date "
    "Billing_Email__c:string(255) PO_Required__c:boolean "
    "Sync_Status__c:string(255) Sync_Message__c:text",
    "Contact": "AccountId:ref>Account LastName:string(80)! FirstName:string(40) Email:string(80) Phone:string(40) "
    "Title:string(128)",
    "Opportunity": "Name:string(120)! AccountId:ref>Account StageName:picklist! CloseDate:date! Amount:currency "
    "Probability:double IsClosed:boolean~ IsWon:boolean~ Type:picklist Description:text NextStep:string(255) "
    "LeadSource:picklist Pricebook2Id:ref>Pricebook2 ContractId:ref>Contract HasOpportunityLineItem:boolean~ "
    "FiscalYear:int~ Contracting_Entity__c:string(255) Billing_Type__c:string(80) Start_Date__c:date "
    "End_Date__c:date PO_Number__c:string(80) PO_Amount__c:currency Provisioning_Status__c:string(255) "
    "Provisioning_Message__c:text Provisioning_Link__c:string(255) Provisioned_At__c:datetime "
    "Engagement_Key__c:string(80)#= PSA_Project_Id__c:string(80) ERP_Project_Id__c:string(80) "
    "ERP_Customer_Id__c:string(80) MSA_Reference__c:string(80) SOW_Reference__c:string(80) Region__c:string(80) "
    "Practice__c:string(80) Rate_Card__c:string(80) Rate_Type__c:string(80) Blended_Rate__c:currency "
    "Cap_Amount__c:currency Project_Manager__c:string(255) Project_Manager_Email__c:string(255) "
    "Payment_Terms__c:string(80) Billing_Schedule__c:text Invoice_Status__c:string(255) Paid_Amount__c:currency "
    "Invoiced_Amount__c:currency Terms_Version__c:int Legal_Entity__c:string(255)",
    "OpportunityLineItem": "OpportunityId:ref>Opportunity! PricebookEntryId:ref>PricebookEntry "
    "Product2Id:ref>Product2 ProductCode:string(255)~ Name:string(376)~ Quantity:double! UnitPrice:currency "
    "ListPrice:currency~ Discount:double TotalPrice:currency ServiceDate:date Description:string(255) SortOrder:int "
    "Service_Code__c:string(80) Role__c:string(80) Billing_Type__c:string(80) Start_Date__c:date End_Date__c:date "
    "Unit__c:string(40)",
    "Contract": "AccountId:ref>Account! Status:picklist StartDate:date EndDate:date ContractTerm:int "
    "ContractNumber:string(30)~ Description:text Name:string(80) Kind__c:picklist Signed_On__c:date "
    "Not_To_Exceed__c:currency",
    "Order": "AccountId:ref>Account! ContractId:ref>Contract OpportunityId:ref>Opportunity EffectiveDate:date! "
    "Status:picklist! TotalAmount:currency~ OrderNumber:string(30)~ EndDate:date PoNumber:string(80)",
    "OrderItem": "OrderId:ref>Order! Product2Id:ref>Product2 PricebookEntryId:ref>PricebookEntry Quantity:double! "
    "UnitPrice:currency! TotalPrice:currency~ ServiceDate:date EndDate:date Description:string(255)",
    "Product2": "Name:string(255)! ProductCode:string(255) Family:picklist IsActive:boolean Description:text "
    "StockKeepingUnit:string(180) Service_Code__c:string(80) Billing_Code__c:string(80)",
    "Pricebook2": "Name:string(255)! IsActive:boolean IsStandard:boolean~ Description:text",
    "PricebookEntry": "Pricebook2Id:ref>Pricebook2! Product2Id:ref>Product2! UnitPrice:currency! IsActive:boolean "
    "ProductCode:string(255)~ Name:string(255)~ UseStandardPrice:boolean",
    "User": "Username:string(80)! LastName:string(80)! FirstName:string(40) Name:string(121)~ Email:string(128) "
    "IsActive:boolean FederationIdentifier:string(512) UserRoleId:id ProfileId:id",
    "Task": "Subject:string(255) Status:picklist Priority:picklist ActivityDate:date Description:text "
    "WhatId:ref>Opportunity WhoId:ref>Contact",
    "Billing_Milestone__c": "Name:string(80) Opportunity__c:ref>Opportunity Amount__c:currency Due_Date__c:date "
    "Trigger__c:string(80) Sequence__c:int Service_Code__c:string(80) External_Key__c:string(120)#= "
    "Status__c:string(80) Percent__c:double",
    "Role_Rate__c": "Name:string(80) Opportunity__c:ref>Opportunity Role__c:string(80) Rate__c:currency "
    "Unit__c:string(40) Grade__c:string(80) External_Key__c:string(120)#=",
    "Billing_Schedule__c": "Name:string(80) Opportunity__c:ref>Opportunity Label__c:string(255) Amount__c:currency "
    "Trigger__c:picklist Due_Date__c:date Service_Code__c:string(80) Sort__c:int",
    "Deal_Rate__c": "Name:string(80) Opportunity__c:ref>Opportunity Role__c:string(80) Service_Code__c:string(80) "
    "Blended__c:boolean Unit__c:string(40) Bill_Rate__c:currency",
    "Eng_Status__c": "Name:string(80) Opportunity__c:ref>Opportunity Engagement_Key__c:string(120)#= "
    "Status__c:string(80) Message__c:text ERP_Project__c:string(80) PSA_Project__c:string(80) "
    "Invoice_Status__c:string(80) Paid_Amount__c:currency Console_Url__c:string(255) Correlation_Id__c:string(80)",
    "Engagement_Status__c": "Name:string(80) Opportunity__c:ref>Opportunity External_Key__c:string(120)#= "
    "Status__c:string(80) Message__c:text Code__c:string(80) Link__c:string(255) Updated_At__c:datetime "
    "PSA_Project__c:string(80) ERP_Project__c:string(80) ERP_Customer__c:string(80) Invoiced__c:currency "
    "Paid__c:currency Correlation_Id__c:string(80)",
}

PREFIXES = {
    "Account": "001", "Contact": "003", "Opportunity": "006", "OpportunityLineItem": "00k", "Contract": "800",
    "Order": "801", "OrderItem": "802", "Product2": "01t", "Pricebook2": "01s", "PricebookEntry": "01u",
    "User": "005", "Task": "00T", "Billing_Milestone__c": "a00", "Role_Rate__c": "a01", "Engagement_Status__c": "a02",
    "Billing_Schedule__c": "a03", "Deal_Rate__c": "a04", "Eng_Status__c": "a05",
}  # fmt: skip

# Opportunity stage → (IsClosed, IsWon, Probability), the stages a new org starts with.
STAGES = {
    "Prospecting": (False, False, 10), "Qualification": (False, False, 10), "Needs Analysis": (False, False, 20),
    "Value Proposition": (False, False, 50), "Id. Decision Makers": (False, False, 60),
    "Perception Analysis": (False, False, 70), "Proposal/Price Quote": (False, False, 75),
    "Negotiation/Review": (False, False, 90), "Closed Won": (True, True, 100), "Closed Lost": (True, False, 0),
}  # fmt: skip

# Child relationship names for sub-queries: parent → {relationship: (child, its reference field)}
CHILDREN = {
    "Account": {"Opportunities": ("Opportunity", "AccountId"), "Contacts": ("Contact", "AccountId"),
                "Contracts": ("Contract", "AccountId")},
    "Opportunity": {"OpportunityLineItems": ("OpportunityLineItem", "OpportunityId"),
                    "Billing_Milestones__r": ("Billing_Milestone__c", "Opportunity__c"),
                    "Role_Rates__r": ("Role_Rate__c", "Opportunity__c"),
                    "Engagement_Statuses__r": ("Engagement_Status__c", "Opportunity__c")},
    "Order": {"OrderItems": ("OrderItem", "OrderId")},
}  # fmt: skip


@dataclass(frozen=True)
class Field:
    """One field: ``type`` as in describe; ``target`` the object of a reference; ``length`` in characters."""

    name: str
    type: str
    length: int = 0
    target: str = ""
    required: bool = False
    external_id: bool = False
    unique: bool = False
    read_only: bool = False

    @property
    def relationship(self) -> str:
        return self.name[:-3] + "__r" if self.name.endswith("__c") else self.name.removesuffix("Id")


def parse_field(notation: str) -> Field:
    name, _, kind = notation.partition(":")
    flags = {}
    while kind[-1] in "!#=~":
        flags[{"!": "required", "#": "external_id", "=": "unique", "~": "read_only"}[kind[-1]]] = True
        kind = kind[:-1]
    length, target = 0, ""
    if kind.startswith("ref>"):
        kind, target = "reference", kind[4:]
    elif kind.startswith("string("):
        kind, length = "string", int(kind[7:-1])
    elif kind == "text":
        kind, length = "textarea", 32000
    return Field(name, kind, length, target, **flags)


def parse_fields(notation: str) -> dict[str, Field]:
    return {field.name: field for field in map(parse_field, notation.split())}
