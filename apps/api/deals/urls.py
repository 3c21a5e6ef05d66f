from django.urls import path

from apps.api.deals.views import DealValidate

urlpatterns = [path("validate", DealValidate.as_view(), name="deal_validate")]
